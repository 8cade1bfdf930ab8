import { Program } from '../support/program.js';

const program = `
  import { tracingChannel, subscribe } from 'node:diagnostics_channel';
  import { CHANNELS, LockService } from 'nestjs-lock';

  const raised = [];
  process.on('uncaughtException', ({ message }) => raised.push(message));
  const fail = () => {
    throw new Error('broken');
  };
  for (const name of ['acquire', 'hold', 'backend']) {
    const [start, end, asyncStart, asyncEnd, error] = Array(5).fill(fail);
    tracingChannel(CHANNELS[name]).subscribe({ start, end, asyncStart, asyncEnd, error });
  }
  for (const name of ['lost', 'renewed', 'revocation']) subscribe(CHANNELS[name], fail);

  const locks = new LockService({ shutdownGrace: 0 });
  const result = await locks.withLock('k', async (lock) => {
    await lock.renew();
    await locks.revoke('k');
    return 'ran';
  });
  const lock = await locks.acquire('k');
  await locks.forceRelease('k');
  console.log(result, lock.held, await locks.tryAcquire('k').then((lock) => lock.held));
  await locks.close();
  await new Promise(setImmediate);
  console.log(raised.every((message) => message === 'broken'), raised.length > 30);
`;

it('a subscriber that throws breaks no lock; Node raises what it throws', async () => {
  const run = Program.start(process.execPath, ['--input-type=module', '--eval', program]);
  try {
    expect(await run.ended).toBe(0);
    expect(run.output).toBe('ran false true\ntrue true\n');
  } finally {
    await run.stop();
  }
});
