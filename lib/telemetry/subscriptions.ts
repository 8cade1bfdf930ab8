import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Logger } from '@nestjs/common';
import { CHANNELS } from './channels.js';
import type { ChannelMessages } from './messages.js';

type Traced = 'acquire' | 'hold' | 'backend';

/** What is listened to together. What fails is logged, once, and disturbs nobody. */
export class Subscriptions {
  readonly #endings: (() => void)[] = [];
  #failed = false;

  on<Name extends Exclude<keyof ChannelMessages, Traced>>(
    name: Name,
    hear: (message: ChannelMessages[Name]) => void,
  ): void {
    this.#listen(CHANNELS[name], hear);
  }

  onStart<Name extends Traced>(name: Name, hear: (message: ChannelMessages[Name]) => void): void {
    this.#listen(`tracing:${CHANNELS[name]}:start`, hear);
  }

  /** When it is over, well or not. */
  onOver<Name extends Traced>(name: Name, hear: (message: ChannelMessages[Name]) => void): void {
    this.#listen(`tracing:${CHANNELS[name]}:asyncEnd`, hear);
  }

  end(): void {
    for (const end of this.#endings.splice(0)) end();
  }

  /** Runs what is not to disturb who tells. */
  safely(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (this.#failed) return;
      this.#failed = true;
      new Logger('LockTelemetry').error('What happens to locks could not be exported', error);
    }
  }

  #listen(channel: string, hear: (message: never) => void): void {
    const listener = (message: unknown) => {
      this.safely(() => {
        hear(message as never);
      });
    };
    subscribe(channel, listener);
    this.#endings.push(() => unsubscribe(channel, listener));
  }
}
