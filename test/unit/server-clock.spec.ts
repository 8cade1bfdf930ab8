import { ServerClock } from '../../lib/backends/server-clock.js';
import { Instant } from '../../lib/time/clock.js';

describe('a moment by the clock of the server', () => {
  it('is earlier for what the two clocks may differ by since they were compared', () => {
    const clock = new ServerClock();
    // As long ago as a second by this process's clock, which may be slow: the server's may show more.
    const before = Instant.now().plus(-1_500);
    clock.learn(before, 10_000);
    const moment = clock.momentOf(11_000)!;
    expect(moment.monotonic - before.monotonic).toBeCloseTo(1_000 - 10 - 1, 6);
  });

  it('is not moved for what was before', () => {
    const clock = new ServerClock();
    const before = Instant.now().plus(-1_500);
    clock.learn(before, 10_000);
    expect(clock.momentOf(9_000)!.monotonic - before.monotonic).toBeCloseTo(-1_000 - 1, 6);
  });
});
