import type { BackendConnection, KeyState, WaiterState } from '../backends/lock-backend.js';
import { wallTimeIn } from '../time/clock.js';
import type { LockState } from '../interfaces/index.js';
import type { Leases } from '../lease/leases.js';
import { ownerOf } from './owner.js';

/** So many keys are looked at together. */
const PAGE = 100;

/** What operators see. */
export class LockView {
  constructor(
    private readonly processId: string,
    private readonly connection: BackendConnection,
    private readonly leases: Leases,
  ) {}

  async of(key: string): Promise<LockState> {
    return this.#stateOf(key, await this.connection.inspect(key));
  }

  /** The keys that match and are held, read page by page. */
  async *list(pattern: string): AsyncGenerator<LockState, void, undefined> {
    for await (const [key, state] of this.held(pattern)) yield this.#stateOf(key, state);
  }

  /** The same, as the store has them. */
  async *held(pattern: string): AsyncGenerator<[key: string, state: KeyState], void, undefined> {
    let page: string[] = [];
    for await (const key of this.connection.list(pattern)) {
      if (page.push(key) < PAGE) continue;
      yield* await this.#look(page);
      page = [];
    }
    yield* await this.#look(page);
  }

  /** Callers of this process that wait; they have the ids of their requests where the store was asked. */
  *waiting(): Generator<[key: string, waiter: Pick<WaiterState, 'id' | 'mode'>], void, undefined> {
    for (const { key, wish, request } of this.leases.waiting) {
      yield [key, { id: request?.id ?? `${this.processId}:`, mode: wish.mode }];
    }
  }

  /** Those of these keys that are held still. */
  async #look(keys: readonly string[]): Promise<[key: string, state: KeyState][]> {
    const states = await Promise.all(
      keys.map(async (key): Promise<[string, KeyState]> => [
        key,
        await this.connection.inspect(key),
      ]),
    );
    return states.filter(([, { holders }]) => holders.length > 0);
  }

  #stateOf(key: string, { holders, waiters, queue }: KeyState): LockState {
    return {
      key,
      holders: holders.map(({ id, token, mode, age, remaining }) => ({
        fencingToken: this.leases.presentToken(key, token),
        mode,
        since: new Date(wallTimeIn(-age)),
        remaining,
        owner: ownerOf(id, this.processId),
      })),
      waiters,
      queue: queue.map(({ id, mode, age }, place) => ({
        place,
        mode,
        since: new Date(wallTimeIn(-age)),
        owner: ownerOf(id, this.processId),
      })),
    };
  }
}
