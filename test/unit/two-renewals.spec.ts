import { LockService, MemoryBackend } from 'nestjs-lock';

it('two renewals at once: the holder believes in no more than was granted', async () => {
  const locks = new LockService({ backend: new MemoryBackend() });
  const lock = await locks.acquire('k', { ttl: 1_000 });
  await Promise.all([lock.renew('20s'), lock.renew('500ms')]);
  const [holder] = (await locks.inspect('k')).holders;
  expect(lock.remaining).toBeLessThanOrEqual(holder!.remaining);
  expect(holder!.remaining).toBeGreaterThan(10_000);
  await lock.release();
  await locks.close();
});
