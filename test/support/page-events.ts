import { once } from 'node:events';
import { type ClientRequest, get, type IncomingMessage } from 'node:http';
import { eventually } from './eventually.js';

/**
 * What the dashboard tells a page, read as the page does. Not by fetch(), which after an abort connects
 * again, to no end but to keep the server from closing.
 */
export class PageEvents {
  /** The last event of each kind. */
  readonly #last = new Map<string, unknown>();
  #text = '';
  ended = false;
  /** How many events there were. */
  count = 0;

  private constructor(
    private readonly request: ClientRequest,
    readonly response: IncomingMessage,
  ) {
    response.setEncoding('utf8').on('data', (part: string) => {
      this.#hear(part);
    });
    response
      .on('error', () => undefined)
      .once('close', () => {
        this.ended = true;
      });
  }

  static async open(url: string): Promise<PageEvents> {
    const request = get(url, { agent: false });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    return new PageEvents(request, response);
  }

  last(event: string): unknown {
    return this.#last.get(event);
  }

  /** The first of these events that is so. */
  async until<Data>(event: string, what: string, isSo: (data: Data) => boolean): Promise<Data> {
    const last = () => this.last(event) as Data | undefined;
    await eventually(what, () => {
      const data = last();
      return data !== undefined && isSo(data);
    });
    return last()!;
  }

  close(): void {
    this.request.destroy();
  }

  #hear(part: string): void {
    const messages = (this.#text + part).split('\n\n');
    this.#text = messages.pop()!;
    for (const message of messages) {
      const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(message) ?? [];
      if (event === undefined) continue;
      this.count++;
      this.#last.set(event, JSON.parse(data!));
    }
  }
}
