import { randomUUID } from 'node:crypto';
import type { LockService } from 'nestjs-lock';
import { LONG } from '../../../lib/testing/patience.js';
import type { Standstills } from '../../../lib/testing/standstills.js';
import type { Peer, World } from '../../../lib/testing/world.js';

/** How fast a store is, in milliseconds. */
export interface Pace {
  /** Within this it does what it must do at once, also on a busy machine. */
  readonly prompt: number;
  /** Within this it finds that a waiter is dead. */
  readonly haunted: number;
  /** For so long a look may not show a dead waiter who still stands in the queue. */
  readonly hidden: number;
  /** A ttl that is waited for. */
  readonly short: number;
  /** A lease may be taken from a dead holder so much later than its ttl. */
  readonly late: number;
}

/** The processes on which programs run, one program after the other. */
export class Crew {
  readonly peers: Peer[];
  readonly service: LockService;

  constructor(
    readonly world: World,
    readonly pace: Pace,
    readonly standstills: Standstills,
  ) {
    this.peers = Array.from({ length: 3 }, () => world.process());
    this.service = world.service({ ttl: LONG });
  }

  /** Its service has spoken with the store: to do so the first time takes a busy machine longer than a step may. */
  async ready(): Promise<void> {
    await this.service.withLock(randomUUID(), { wait: LONG }, () => undefined);
  }

  /** Lets a process end without a word, and starts another one in its place. */
  async replace(peer: Peer): Promise<Peer> {
    const other = this.world.process();
    this.peers[this.peers.indexOf(peer)] = other;
    await peer.close();
    return other;
  }
}
