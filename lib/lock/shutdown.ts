import { Alarm, within } from '../time/clock.js';
import type { LockSession } from './lock-session.js';

/** A service, as far as its end goes. */
export interface Ending {
  /** For how long its holders may go on, in milliseconds. */
  readonly grace: number;
  /** What it has by now, if anything. */
  session(): LockSession | undefined;
  /** The same, and none is opened any more. */
  last(): LockSession | undefined;
}

/**
 * How services come to their end: those of one application together, as a body that holds a lock of one
 * may need a lock of another to finish.
 *
 * 1. {@link prepare}: the application is about to close what brings it work. All are granted what they ask
 *    for. Those who hold a lock may finish before what they work with is closed.
 * 2. {@link close}: nothing new comes in. Holders are asked to finish, and are granted what they need
 *    for that; everybody else is refused. What is still held in the end is given back.
 *
 * Should the application not get from the one to the other, as what brings work waits itself for a lock
 * of someone who would have to be asked, the second begins without it.
 */
export class Shutdown {
  readonly #services = new Set<Ending>();
  #over: () => void = () => undefined;
  /** Resolves when it is over. */
  readonly over = new Promise<void>((resolve) => {
    this.#over = resolve;
  });
  #late: Alarm | undefined;
  #prepared: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(...services: readonly Ending[]) {
    for (const service of services) this.add(service);
  }

  add(service: Ending): void {
    this.#services.add(service);
  }

  /** Never rejects. May be called again, as may {@link close}. */
  prepare(): Promise<void> {
    return (this.#prepared ??= this.#prepare());
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #prepare(): Promise<void> {
    const services = [...this.#services];
    await Promise.all(
      services.map(async (service) => {
        const done = service.session()?.presentHoldersDone();
        if (done !== undefined) await within(service.grace, done);
      }),
    );
    if (this.#closed !== undefined) return;
    const longest = Math.max(...services.map(({ grace }) => grace));
    this.#late = Alarm.in(longest, () => void this.close());
  }

  async #close(): Promise<void> {
    this.#late?.off();
    const sessions = [...this.#services].flatMap((service) => {
      const session = service.last();
      return session === undefined ? [] : [{ session, grace: service.grace }];
    });
    for (const { session } of sessions) session.drain();
    const allReleased = async () => {
      while (sessions.some(({ session }) => session.held > 0)) {
        await Promise.all(sessions.map(({ session }) => session.allReleased()));
      }
    };
    await Promise.all(
      sessions.map(async ({ session, grace }) => {
        await within(grace, allReleased());
        await session.close();
      }),
    );
    this.#over();
  }
}
