import { Suspicion } from '../../lib/backends/suspicion.js';
import { Instant } from '../../lib/time/clock.js';

/** More than is suspicious. */
const PATIENCE = 2_000;

/** A moment so many milliseconds ago. */
const ago = (ms: number) => Instant.now().plus(-ms);

const now = Date.now;

/** How long the answer to a single question may take. */
function ask(
  suspicion: Suspicion,
  hurried: boolean,
  { patience = PATIENCE, keys = 1 } = {},
): number {
  const ms = suspicion.ask(patience, hurried, keys);
  suspicion.over();
  return ms;
}

afterEach(() => {
  Date.now = now;
});

function later(ms: number): void {
  const before = Date.now;
  Date.now = () => before() + ms;
}

describe('silence is suspicious early', () => {
  it.each([
    ['to who is in a hurry', 0, true],
    ['after nothing was heard for long', 20_000, false],
  ])('%s', (_, idle, hurried) => {
    const suspicion = new Suspicion();
    suspicion.hear(ago(10));
    later(idle);
    expect(ask(suspicion, hurried)).toBe(500);
    expect(ask(suspicion, hurried, { patience: 100 })).toBe(100);
  });

  it('once for each of several servers, with time for all of them', () => {
    const suspicion = new Suspicion(3);
    suspicion.hear(ago(10));
    for (let tries = 0; tries < 3; tries++) {
      expect(ask(suspicion, true)).toBeCloseTo(1_000 / 3);
      suspicion.silent();
    }
    expect(ask(suspicion, true)).toBe(PATIENCE);
    suspicion.hear(ago(10));
    expect(ask(suspicion, true)).toBeCloseTo(1_000 / 3);
  });
});

describe('silence is borne for as long as it may take', () => {
  it('by who has time, on a connection that was heard', () => {
    const suspicion = new Suspicion();
    suspicion.hear(ago(10));
    later(5_000);
    expect(ask(suspicion, false)).toBe(PATIENCE);
  });

  it('of a server that has not been quick', () => {
    const suspicion = new Suspicion();
    expect(ask(suspicion, true)).toBe(PATIENCE);
    suspicion.hear(ago(600));
    expect(ask(suspicion, true)).toBe(PATIENCE);
  });

  it('for a call that takes its time', () => {
    const suspicion = new Suspicion();
    suspicion.hear(ago(10));
    expect(ask(suspicion, true, { keys: 5_000 })).toBe(PATIENCE);
  });

  it('behind many other questions, until they are over', () => {
    const suspicion = new Suspicion();
    suspicion.hear(ago(10));
    // What was asked by who has time may be lost as well.
    expect(suspicion.ask(PATIENCE, false)).toBe(PATIENCE);
    for (let others = 1; others < 8; others++) expect(suspicion.ask(PATIENCE, true)).toBe(500);
    expect(ask(suspicion, true)).toBe(PATIENCE);
    suspicion.over();
    expect(ask(suspicion, true)).toBe(500);
  });
});
