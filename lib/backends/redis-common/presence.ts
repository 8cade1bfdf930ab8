import { Deadline, pause } from '../../time/clock.js';

/** The first pause, and the longest, before a subscription is made anew once more, in milliseconds. */
const [FIRST_PAUSE, LONGEST_PAUSE] = [50, 10_000];

/** How often a process makes sure that it is heard, in milliseconds. */
const BEAT = 1_450;

/** How a connection is dealt with that does not hear what it should. */
export interface Subscription {
  /** Asks whether it still answers, and makes it anew when it does not. */
  probe(): void;
  /** Makes it anew, on a connection that may lead to another server. */
  renew(): void;
}

/**
 * Whether this process is heard where it asks: whether the connection on which it listens to a channel
 * is at the same server as the one that its scripts go to. One address may lead to several servers,
 * one after the other or at the same time, and a replica delivers all messages of its master but is
 * counted by nobody. So scripts send the process a message now and then, a beat, and answer whether it
 * was counted: if not, the subscription is made anew.
 */
export class Presence {
  /** What is listened on, and what is asked on, now: each new one is another object. */
  #ear: object | undefined;
  #mouth = {};
  /** Whether a beat was counted since both are what they are. */
  #proven = false;
  #heard = 0;
  #misses = 0;
  #nextBeat = Deadline.in(0);

  constructor(
    private readonly subscription: Subscription,
    /** How long a message may be on its way, in milliseconds. */
    private readonly patience: number,
  ) {}

  /** Whether what is heard comes from the server that is asked; false as long as that is not known. */
  get proven(): boolean {
    return this.#proven;
  }

  /** Whether the last beat was so long ago that the next request may carry one. */
  get isDue(): boolean {
    return this.#nextBeat.passed;
  }

  /** Whether nothing is known of what there is to listen on and to ask on, nor asked for. */
  get isUntried(): boolean {
    return !this.#proven && this.isDue;
  }

  /** It listens from now on. */
  listens(): void {
    this.#ear = {};
    this.#forget();
  }

  /** It does not listen any more. */
  isDeaf(): void {
    this.#ear = undefined;
    this.#forget();
  }

  /** Requests may go to another server from now on. */
  asksElsewhere(): void {
    this.#mouth = {};
    this.#forget();
    // What cut off the one may have cut off the other, of which nobody would hear.
    if (this.#ear !== undefined) this.subscription.probe();
  }

  hears(): void {
    this.#heard++;
  }

  /** To be called before a beat is asked for, and what it returns with the answer. */
  beat(): (counted: boolean) => void {
    const [ear, mouth, heard] = [this.#ear, this.#mouth, this.#heard];
    this.#nextBeat = Deadline.in(BEAT);
    return (counted) => {
      // It says nothing of a subscription that was not there yet, or is another one by now.
      if (ear === undefined || ear !== this.#ear) return;
      if (mouth === this.#mouth) this.#proven = counted;
      if (!counted) {
        void this.#move(ear);
      } else {
        this.#misses = 0;
        if (heard === this.#heard) void this.#await(ear, heard);
      }
    };
  }

  #forget(): void {
    this.#proven = false;
    this.#nextBeat = Deadline.in(0);
  }

  async #move(ear: object): Promise<void> {
    const longest = Math.min(FIRST_PAUSE * 2 ** this.#misses++, LONGEST_PAUSE);
    await pause(longest * Math.random());
    if (ear !== this.#ear) return;
    this.isDeaf();
    this.subscription.renew();
  }

  /** A connection that only listens may die without a word. */
  async #await(ear: object, heard: number): Promise<void> {
    await pause(this.patience);
    if (ear === this.#ear && heard === this.#heard) this.subscription.probe();
  }
}
