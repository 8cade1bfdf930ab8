/**
 * For those who write a backend: the suite that says whether it keeps the promises.
 *
 * ```ts
 * // my-backend.spec.ts, under jest; for vitest or node:test import describe and it from there
 * import { describeLockBackend } from 'nestjs-lock/testing';
 *
 * describeLockBackend(
 *   { describe, it },
 *   {
 *     name: 'my',
 *     create: () => ({ backend: new MyBackend({ namespace: randomUUID() }), close: () => undefined }),
 *   },
 * );
 * ```
 *
 * Those who use locks need nothing from here. Their tests run on the default backend, and a second
 * service on the same one is as good as another process:
 *
 * ```ts
 * const backend = new MemoryBackend();
 * const module = await Test.createTestingModule({
 *   imports: [LockModule.forRoot({ backend })],
 *   providers: [Orders],
 * }).compile();
 * const elsewhere = new LockService({ backend });
 *
 * await elsewhere.withLock('order:7', async () => {
 *   await expect(module.get(Orders).ship(7)).rejects.toBeInstanceOf(LockTimeoutError);
 * });
 * await elsewhere.close();
 * ```
 *
 * In a module that brings its own backend: `.overrideProvider(getLockBackendToken()).useValue(backend)`.
 *
 * @module
 */
export {
  describeLockBackend,
  type BackendUnderTest,
  type FreshBackend,
  type TestRunner,
} from './describe-lock-backend.js';
