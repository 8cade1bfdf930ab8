import type { IOptions } from 'etcd3';
import { Deadline } from '../../time/clock.js';
import { isPassing, NoAnswerError } from './etcd-errors.js';

/** How long a host is passed over after its first failure in a row, and at most, in milliseconds. */
const [SHORTEST, LONGEST] = [500, 30_000];

type Policy = ReturnType<NonNullable<NonNullable<IOptions['faultHandling']>['host']>>;

interface Standing {
  failures: number;
  /** Until when others are asked first. */
  passedOver: Deadline;
}

/**
 * etcd3 asks the hosts in random order, and the next one when a host's policy does not let a request
 * pass: so one that hangs costs its time limit now and then, and not each time that it is drawn.
 */
export class HostChoice {
  readonly #standings: ReadonlyMap<string, Standing>;

  constructor(hosts: readonly string[]) {
    this.#standings = new Map(
      hosts.map((host) => [host, { failures: 0, passedOver: Deadline.in(0) }]),
    );
  }

  policyOf(host: string): Policy {
    // Where there is no choice, every request passes.
    if (this.#standings.size === 1) return this.noPolicy;
    const standing = this.#standings.get(host);
    return policy(async (send) => {
      if (standing === undefined) return send();
      if (this.#hasBetter(standing)) throw new NoAnswerError(`${host} did not answer lately`);
      try {
        const reply = await send();
        // That a stream was begun says nothing yet.
        if (!isStream(reply)) standing.failures = 0;
        return reply;
      } catch (error) {
        if (isPassing(error)) fail(standing);
        throw error;
      }
    });
  }

  /** Lets everything pass, once. */
  get noPolicy(): Policy {
    // etcd3 tells of a broken stream by a `send` that throws, and takes only a rejection well.
    return policy(
      (send) =>
        new Promise((resolve) => {
          resolve(send());
        }),
    );
  }

  /** When all have failed, the one whose time is over first is asked. */
  #hasBetter(standing: Standing): boolean {
    const { remaining } = standing.passedOver;
    if (remaining === 0) return false;
    // Time goes on from one look to the next: a tie is no reason to pass over both.
    return [...this.#standings.values()].some(
      (other) => other !== standing && other.passedOver.remaining < remaining - 1,
    );
  }
}

function fail(standing: Standing): void {
  standing.passedOver = Deadline.in(Math.min(SHORTEST * 2 ** standing.failures, LONGEST));
  standing.failures++;
}

function isStream(reply: unknown): boolean {
  return typeof (reply as { cancel?: unknown } | undefined)?.cancel === 'function';
}

/** A policy as etcd3 uses it. */
function policy(execute: (send: () => unknown) => Promise<unknown>): Policy {
  return { execute } as unknown as Policy;
}
