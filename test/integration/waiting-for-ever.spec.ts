import { Program } from '../support/program.js';

// It has nothing else to do: the timer that ends the waiting does not keep the process.
const program = (imports: string, backend: string) => `
  ${imports}

  const locks = new LockService({ backend: ${backend}, shutdownGrace: 0 });
  ${backend.includes('Memory') ? "await locks.acquire('k');" : ''}
  const leaving = new AbortController();
  setTimeout(() => leaving.abort('enough'), 2_000).unref();
  await locks.acquire('k', { wait: Infinity, signal: leaving.signal }).catch(console.log);
  await locks.close();
`;

it.each([
  ['in memory', `import { LockService, MemoryBackend } from 'nestjs-lock';`, 'new MemoryBackend()'],
  [
    'at an etcd that cannot be reached',
    `import { LockService } from 'nestjs-lock'; import { EtcdBackend } from 'nestjs-lock/etcd';`,
    `new EtcdBackend({ hosts: 'http://127.0.0.1:1' })`,
  ],
])('a process stays while a caller waits for ever, %s', async (_, imports, backend) => {
  const code = program(imports, backend);
  const run = Program.start(process.execPath, ['--input-type=module', '--eval', code]);
  try {
    const ended = await run.ended;
    expect([ended, run.stdout]).toEqual([0, 'enough\n']);
  } finally {
    await run.stop();
  }
});
