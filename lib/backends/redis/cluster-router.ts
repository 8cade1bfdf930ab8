import { Deadline, pause } from '../../time/clock.js';
import type { ClusterClient, ClusterNode } from './cluster-client.js';
import { slotOf } from '../redis-common/cluster-slot.js';
import { giveUp } from '../redis-common/redis-client.js';
import { isReply } from '../redis-common/redis-errors.js';
import type { ScriptServer } from '../redis-common/script-runner.js';

/** Between two looks at the map of the Cluster, in milliseconds. */
const LOOK_AGAIN = 100;

/** How many nodes a script is sent to, of which one says that the next one has the slot. */
const MOST_MOVES = 3;

/**
 * Sends each script to the master that has its keys. ioredis would follow redirections as well, but
 * asks any node after a TRYAGAIN, and all for a new map after each MOVED: a slot that moves slowly
 * would keep a process busy with nothing else. Here the map is asked for now and then; and scripts of
 * a slot that is half moved, which no node could serve, fail, for those to send again who want them.
 */
export class ClusterRouter<Node extends ClusterNode = ClusterNode> implements ScriptServer {
  #looking: Promise<void> | undefined;
  #nextLook = Deadline.in(0);

  constructor(private readonly cluster: ClusterClient<Node>) {}

  /** Its first key stands after the script and the number of its keys. */
  call(command: 'evalsha' | 'eval', args: (string | number)[]): Promise<unknown> {
    return this.#atMasterOf(String(args[2]), (node) => node.call(command, args));
  }

  connection(key?: string): ClusterNode | undefined {
    return key === undefined ? undefined : this.masterOf(slotOf(key));
  }

  /** Only this node is given up, and the others go on. */
  silent(node: ClusterNode | undefined): void {
    if (node !== undefined) giveUp(node);
    void this.look();
  }

  readonly(): void {
    void this.look();
  }

  /** The node that has a slot, as `host:port`, as far as the map tells. */
  nodeOf(slot: number): string | undefined {
    return this.cluster.slots[slot]?.[0];
  }

  /** The connection to the node that has a slot, if there is one. */
  masterOf(slot: number): Node | undefined {
    const node = this.nodeOf(slot);
    return this.cluster.nodes('master').find(({ options: { host, port } }) => {
      return `${host}:${port}` === node;
    });
  }

  /** The connections to the nodes that have these slots, each once. */
  mastersOf(slots: readonly number[]): Node[] {
    const masters = new Set<Node>();
    for (const slot of slots) {
      const master = this.masterOf(slot);
      if (master === undefined) {
        void this.look();
        throw unknownMaster(slot);
      }
      masters.add(master);
    }
    return [...masters];
  }

  /** Looks at the map; resolves when that is done, whether or not it worked. */
  look(): Promise<void> {
    this.#looking ??= pause(this.#nextLook.remaining).then(() => {
      this.#nextLook = Deadline.in(LOOK_AGAIN);
      this.#looking = undefined;
      return new Promise((resolve) => {
        this.cluster.refreshSlotsCache(() => {
          resolve();
        });
      });
    });
    return this.#looking;
  }

  async #atMasterOf<T>(key: string, send: (node: Node) => Promise<T>): Promise<T> {
    const slot = slotOf(key);
    for (let moves = 0; ; moves++) {
      const master = this.masterOf(slot);
      try {
        if (master === undefined) throw unknownMaster(slot);
        return await send(master);
      } catch (error) {
        const moved = master === undefined || /\bMOVED\b/.test(String(error));
        if (!moved && isReply(error)) throw error;
        const looked = this.look();
        // Of what was sent and not answered nobody knows whether it has run.
        if (!moved || moves === MOST_MOVES) throw error;
        await looked;
      }
    }
  }
}

function unknownMaster(slot: number): Error {
  return new Error(`no master is known to have slot ${slot}`);
}
