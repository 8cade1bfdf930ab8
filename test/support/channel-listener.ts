import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { CHANNELS } from 'nestjs-lock';
import type { ChannelMessages } from '../../lib/telemetry/messages.js';

type Name = keyof ChannelMessages;

const TRACED = ['acquire', 'hold', 'backend'] as const;
const STEPS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const;

/** Writes down what is told on the channels of this package, from now until it stops. */
export class ChannelListener {
  /** Messages as they were at the end of what they tell of. */
  readonly heard: { [K in Name]: ChannelMessages[K][] } = {
    acquire: [],
    hold: [],
    backend: [],
    lost: [],
    renewed: [],
    revocation: [],
    leadership: [],
    paused: [],
    warning: [],
  };
  /** `acquire:start` and so on, in their order. */
  readonly steps: string[] = [];
  readonly #endings: (() => void)[] = [];

  /** @param also called with each, in the async context in which it is told */
  constructor(names: readonly Name[], also: (name: Name, message: object) => void = () => {}) {
    for (const name of names) {
      if (isTraced(name)) this.#trace(name, also);
      else this.#listen(name, also);
    }
  }

  stop(): void {
    for (const end of this.#endings) end();
  }

  #trace(name: (typeof TRACED)[number], also: (name: Name, message: object) => void): void {
    for (const step of STEPS) {
      const channel = `tracing:${CHANNELS[name]}:${step}`;
      const hear = (message: unknown) => {
        this.steps.push(`${name}:${step}`);
        also(name, message as object);
        if (step === 'asyncEnd') (this.heard[name] as object[]).push({ ...(message as object) });
      };
      subscribe(channel, hear);
      this.#endings.push(() => unsubscribe(channel, hear));
    }
  }

  #listen(name: Name, also: (name: Name, message: object) => void): void {
    const hear = (message: unknown) => {
      also(name, message as object);
      (this.heard[name] as object[]).push(message as object);
    };
    subscribe(CHANNELS[name], hear);
    this.#endings.push(() => unsubscribe(CHANNELS[name], hear));
  }
}

function isTraced(name: Name): name is (typeof TRACED)[number] {
  return (TRACED as readonly Name[]).includes(name);
}
