import { pause } from '../../time/clock.js';
import { slotOf } from '../redis-common/cluster-slot.js';
import type { ScriptRunner } from '../redis-common/script-runner.js';
import type { ClusterRouter } from './cluster-router.js';
import type { RedisCalls } from './scripts/calls.js';

/** How long they are gathered, in milliseconds: alarms that are due together ring in more than one turn. */
const GATHERING = 5;

/** Few enough waiters for a call that does not hold up the others at the node. */
const MOST_ARGUMENTS = 4_000;

type Heartbeat = RedisCalls['heartbeat'];

interface Asked {
  readonly keys: Heartbeat['keys'];
  readonly args: Heartbeat['args'];
  readonly resolve: (reply: Heartbeat['reply']) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Sends the heartbeats of all buckets that one node of a Cluster has as one command: each by itself they
 * would be some hundred for an idle process, again and again.
 */
export class ClusterHeartbeats {
  #gathered: Asked[] = [];

  constructor(
    private readonly runner: ScriptRunner<RedisCalls>,
    private readonly router: ClusterRouter,
  ) {}

  /** Of one bucket, as heartbeat.lua takes it. */
  send(keys: Heartbeat['keys'], args: Heartbeat['args']): Promise<Heartbeat['reply']> {
    return new Promise((resolve, reject) => {
      if (this.#gathered.push({ keys, args, resolve, reject }) > 1) return;
      void pause(GATHERING).then(() => {
        this.#flush();
      });
    });
  }

  #flush(): void {
    const groups = new Map<string | undefined, Asked[]>();
    for (const asked of this.#gathered) {
      const node = this.router.nodeOf(slotOf(asked.keys[0]));
      const group = groups.get(node);
      if (group === undefined) groups.set(node, [asked]);
      else group.push(asked);
    }
    this.#gathered = [];
    for (const [node, group] of groups) {
      if (node === undefined) for (const asked of group) void this.#sendAlone(asked);
      else for (const part of parts(group)) void this.#sendTogether(part);
    }
  }

  async #sendTogether(group: readonly Asked[]): Promise<void> {
    const [first] = group;
    if (first === undefined) return;
    if (group.length === 1) return this.#sendAlone(first);
    try {
      const args = group.flatMap(({ keys, args }) => [keys.length, args.length, ...keys, ...args]);
      const replies = await this.runner.run('heartbeats', [first.keys[0]], args);
      group.forEach((asked, index) => {
        const reply = replies[index];
        if (reply === undefined || reply[0] === 'failed') void this.#sendAlone(asked);
        else asked.resolve(reply);
      });
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }

  #sendAlone({ keys, args, resolve, reject }: Asked): Promise<void> {
    return this.runner.run('heartbeat', keys, args).then(resolve, reject);
  }
}

/** In groups that are small enough for one call. */
function parts(group: readonly Asked[]): Asked[][] {
  const all: Asked[][] = [];
  let size = Infinity;
  for (const asked of group) {
    const own = asked.keys.length + asked.args.length;
    if (size + own > MOST_ARGUMENTS) {
      all.push([]);
      size = 0;
    }
    all.at(-1)?.push(asked);
    size += own;
  }
  return all;
}
