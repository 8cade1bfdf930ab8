import { Program } from '../support/program.js';

const programs: Program[] = [];

afterEach(async () => {
  for (const program of programs.splice(0)) await program.stop();
});

/** Runs the conformance suite under node:test, or those of its tests whose sentence matches. */
function run(sentences: string, environment: NodeJS.ProcessEnv = {}): Program {
  const program = Program.start(
    process.execPath,
    [
      '--test',
      '--test-reporter=tap',
      `--test-name-pattern=${sentences}`,
      'test/integration/conformance.node-test.mjs',
    ],
    environment,
  );
  programs.push(program);
  return program;
}

describe('the conformance suite under node:test', () => {
  it('passes, leaves no rejection unhandled, and the process ends by itself', async () => {
    const program = run('.');
    const code = await program.ended;
    const { output } = program;
    expect(/^not ok.*/m.exec(output)?.[0]).toBeUndefined();
    expect(code).toBe(0);
    expect(Number(/^# pass (\d+)$/m.exec(output)?.[1])).toBeGreaterThan(100);
    expect(output).toMatch(/^# fail 0$/m);
    expect(output).toContain('ok 1 - the memory backend');
  });

  it('fails when the backend is wrong, and says what should be true', async () => {
    const sentence = 'who gave up is not granted later';
    const other = 'nobody else does';
    const program = run(`${sentence}|${other}`, { FAULTY: '1' });
    expect(await program.ended).toBe(1);
    expect(program.output).toMatch(new RegExp(`not ok \\d+ - ${sentence}`));
    expect(program.output).toMatch(new RegExp(`not ok \\d+ - ${other}`));
    expect(program.output).toContain('ERR_ASSERTION');
  });
});
