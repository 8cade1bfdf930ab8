import assert from 'node:assert/strict';
import type { BackendSupport } from '../../backends/lock-backend.js';
import { LockConfigurationError } from '../../errors/index.js';
import type { World } from '../world.js';

const OPTIONS = { shared: { mode: 'shared' }, limit: { limit: 2 } } as const;

/** What a backend does not offer is refused, at start and at a call, before anything is asked. */
export async function isRefused(world: World, feature: keyof BackendSupport): Promise<void> {
  const options = OPTIONS[feature];
  assert.throws(() => world.service(options), LockConfigurationError);
  const locks = world.service();
  await assert.rejects(locks.acquire('k', options), LockConfigurationError);
  assert.deepEqual(world.requests, []);
}
