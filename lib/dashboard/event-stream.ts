import type { ServerResponse } from 'node:http';
import { answerWith } from './http-answers.js';

/** Server-sent events to one page. */
export class EventStream {
  /** Resolves when the page is gone, or the stream was ended. */
  readonly closed: Promise<void>;

  constructor(private readonly response: ServerResponse & { flush?: () => void }) {
    this.closed = new Promise((resolve) => {
      response.once('close', resolve);
    });
    answerWith(response, 200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      // For nginx, which else waits until it has some kilobytes.
      'X-Accel-Buffering': 'no',
    });
    // How long a browser waits before it comes again, in milliseconds.
    response.write('retry: 2000\n\n');
  }

  /** Leaves it out for a page that has not read what came before: the next one tells the same, and more. */
  send(event: string, data: object): void {
    const { response } = this;
    if (response.writableNeedDrain || response.writableEnded || response.destroyed) return;
    response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    response.flush?.();
  }

  end(): void {
    this.response.end();
  }
}
