import { Instant } from '../time/clock.js';

/** After so many milliseconds without a word a connection may have been forgotten by what is in between. */
const IDLE = 10_000;

/** So long who is quick as a rule may be silent before the connection is given up, in milliseconds. */
const SUSPICIOUS = 500;

/** The same for each of many connections, so that there is time for all of them: together, and each at least. */
const [TOGETHER, LEAST] = [1_000, 250];

/** A server that answers within so many milliseconds is quick. */
const QUICK = 200;

/** Behind so many other questions an answer may take its time. */
const BURST = 8;

/** Calls of more keys than this may take their time at the server. */
const MANY = 1_000;

/**
 * How long answers may take. Firewalls and load balancers forget an idle connection without a word, while
 * the server is well and a new connection works: so where nothing was heard for a while, or the caller
 * has little time, silence is suspicious much earlier than the command timeout. But only of a server that
 * was quick before, and once for each connection: one that is slow, or hangs, has all its time. And only of
 * what is asked behind few other questions: in a burst an answer may take its time.
 */
export class Suspicion {
  #heard = Instant.now();
  /** How many connections may be given up early, from now on. */
  #tries = 0;
  #underWay = 0;

  /** @param connections to how many servers, of which any may be asked */
  constructor(private readonly connections = 1) {}

  /**
   * Something is asked now: how long its answer may take, in milliseconds. Once {@link over} has to follow.
   * @param patience how long answers may take as a rule
   * @param hurried whether who asks cannot wait for that and then ask again
   */
  ask(patience: number, hurried: boolean, keys = 0): number {
    const isSuspicious = this.#underWay++ < BURST && (hurried || this.#heard.elapsed > IDLE);
    if (this.#tries === 0 || keys > MANY || !isSuspicious) return patience;
    const each = Math.max(TOGETHER / this.connections, LEAST);
    return Math.min(patience, SUSPICIOUS, each);
  }

  /** What was asked is not waited for any more. */
  over(): void {
    this.#underWay--;
  }

  /** There was no answer in time, so that a connection was given up. */
  silent(): void {
    if (this.#tries > 0) this.#tries--;
  }

  /** There was an answer to what was asked then. */
  hear(asked: Instant): void {
    this.#heard = Instant.now();
    if (asked.elapsed < QUICK) this.#tries = this.connections;
  }
}
