import { alarm, Deadline, pause, within } from '../../time/clock.js';
import { messageOf } from '../../text/shown.js';
import type { OwnClient } from './postgres-client.js';
import { isPassing } from './postgres-errors.js';

/** The first pause, and the longest, before a connection is made anew, in milliseconds. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [50, 10_000];

/** A connection that only listens may die without a word: so often it is asked something, in milliseconds. */
const PROBE = 10_000;

export interface ListenerContext {
  readonly open: () => OwnClient;
  readonly process: string;
  /** Quoted. */
  readonly schema: string;
  /** How long to wait for a reply, in milliseconds. */
  readonly patience: number;
  /** Sends this process a message, by the way on which statements go. */
  readonly beat: () => Promise<unknown>;
  readonly hear: (message: string) => void;
  /** From now on it hears; what was sent before, it may have missed. */
  readonly listening: () => void;
  readonly warn: (message: string) => void;
}

/**
 * The connection on which this process is told of its grants, and of what becomes of its leases. Made anew
 * whenever it ends. It counts only when a message came through that went the way of the statements: a pooler
 * between takes LISTEN and says nothing of what it hears, and another server says what is not true here.
 */
export class PostgresListener {
  #client: OwnClient | undefined;
  #isHeard = false;
  #beatHeard: (() => void) | undefined;
  #failures = 0;
  #warned = false;
  #closed = false;
  #disarm: () => void = () => undefined;

  constructor(private readonly context: ListenerContext) {
    void this.#connect();
  }

  /** Whether what is sent to this process is heard, as far as that is known. */
  get isHeard(): boolean {
    return this.#isHeard;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#disarm();
    const client = this.#client;
    this.#client = undefined;
    if (client !== undefined) await within(this.context.patience, end(client));
  }

  async #connect(): Promise<void> {
    while (!this.#closed && !(await this.#try())) {
      const longest = Math.min(FIRST_PAUSE * 2 ** this.#failures++, LONGEST_PAUSE);
      await pause(longest * (0.5 + Math.random() / 2));
    }
  }

  /** Whether it has a connection and is done with it for now. */
  async #try(): Promise<boolean> {
    const { context } = this;
    const client = context.open();
    this.#client = client;
    client.on('error', () => undefined);
    client.on('end', () => {
      this.#lose(client);
    });
    client.on('notification', ({ payload = '' }) => {
      if (payload === '["beat"]') this.#beatHeard?.();
      else context.hear(payload);
    });
    try {
      await this.#soon(client.connect());
      const process = client.escapeLiteral(context.process);
      await this.#soon(client.query(`SELECT ${context.schema}.listen(${process})`));
      return await this.#prove(client);
    } catch (error) {
      if (!isPassing(error)) this.#warnOnce(`Cannot listen: ${messageOf(error)}`);
      this.#drop(client);
      return false;
    }
  }

  /** Whether it is at the server that is asked, and messages come through. */
  async #prove(client: OwnClient): Promise<boolean> {
    const { beat, listening, patience } = this.context;
    const heard = new Promise<true>((resolve) => {
      this.#beatHeard = () => {
        resolve(true);
      };
    });
    await beat();
    const came = await within(patience, heard);
    // It may have ended meanwhile.
    if (client !== this.#client) return false;
    if (came === undefined) {
      this.#warnOnce('Messages of PostgreSQL do not come through');
      this.#drop(client);
      return false;
    }
    this.#failures = 0;
    this.#isHeard = true;
    this.#probeLater(client);
    listening();
    return true;
  }

  #probeLater(client: OwnClient): void {
    this.#disarm = alarm(Deadline.in(PROBE), () => {
      void this.#probe(client);
    });
  }

  async #probe(client: OwnClient): Promise<void> {
    try {
      await this.#soon(client.query('SELECT 1'));
    } catch {
      this.#lose(client);
      return;
    }
    if (client === this.#client) this.#probeLater(client);
  }

  /** It ended, or does not answer: once for each. */
  #lose(client: OwnClient): void {
    if (client !== this.#client) return;
    const wasHeard = this.#isHeard;
    this.#drop(client);
    // Else whoever made it finds out.
    if (wasHeard) void this.#connect();
  }

  #drop(client: OwnClient): void {
    if (client === this.#client) this.#client = undefined;
    this.#isHeard = false;
    this.#disarm();
    void end(client);
  }

  async #soon<T>(promise: Promise<T>): Promise<T> {
    const { patience } = this.context;
    const answered = promise.then((value) => ({ value }));
    const answer = await within(patience, answered);
    if (answer === undefined) throw new Error(`no reply within ${patience} ms`);
    return answer.value;
  }

  #warnOnce(problem: string): void {
    if (this.#warned || this.#closed) return;
    this.#warned = true;
    this.context.warn(
      `${problem}, so waiters look for their grants once a second. Behind a pooler name a direct address ` +
        "as `listenOn`; where none is to be had, say wake: 'poll'.",
    );
  }
}

/** Never rejects. */
async function end(client: OwnClient): Promise<void> {
  try {
    await client.end();
  } catch {
    // It has ended already.
  }
}
