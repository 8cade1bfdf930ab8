import { Program } from '../support/program.js';

/** At eleven Node suspects a leak. */
const WAITERS = 100;

const program = `
  import { LockService } from 'nestjs-lock';

  const locks = new LockService();
  const held = await locks.acquire('k');
  const leaving = new AbortController();
  const { signal } = leaving;
  const waiting = Array.from({ length: ${WAITERS} }, (_, n) =>
    n % 2 ? locks.acquire('k', { signal }) : locks.withLock('k', { signal }, () => 'ran'),
  );
  await new Promise(setImmediate);
  leaving.abort('enough');
  const ends = await Promise.allSettled(waiting);
  console.log(ends.filter(({ reason }) => reason === 'enough').length, 'left');
  await held.release();
  await locks.close();
`;

it('many callers that wait on one signal are no leak to Node', async () => {
  const run = Program.start(process.execPath, ['--input-type=module', '--eval', program]);
  try {
    expect(await run.ended).toBe(0);
    expect(run.output).toBe(`${WAITERS} left\n`);
  } finally {
    await run.stop();
  }
});
