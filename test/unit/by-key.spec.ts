import { LockService } from 'nestjs-lock';
import { ByKey } from '../../lib/structures/by-key.js';

interface Entry {
  readonly key: string;
  used: boolean;
}

const make = (key: string): Entry => ({ key, used: false });

function fill(entries: ByKey<Entry>, count: number, used: boolean): void {
  for (let n = 0; n < count; n++) {
    entries.sweep();
    entries.of(`${used}:${n}`).used = used;
  }
}

describe('what is known by key', () => {
  it('is the same thing as long as it is used', () => {
    const entries = new ByKey(make, ({ used }) => used);
    const one = entries.of('one');
    one.used = true;
    fill(entries, 5_000, false);
    expect(entries.of('one')).toBe(one);
    expect(entries.find('one')).toBe(one);
    expect(entries.find('other')).toBeUndefined();
  });

  it.each([
    [0, 1_000],
    [400, 1_000],
    [10_000, 20_000],
  ])('is forgotten when it is not used: beside %i that are, at most %i in all', (used, most) => {
    const entries = new ByKey(make, (entry) => entry.used);
    fill(entries, used, true);
    fill(entries, 50_000, false);
    expect([...entries.values()].length).toBeLessThanOrEqual(most);
    expect([...entries.values()].filter((entry) => entry.used)).toHaveLength(used);
  });

  it('is not forgotten between two keys that are taken together', async () => {
    const locks = new LockService();
    // So that it is time for the sweep between the two.
    await locks.withLock('odd', () => undefined);
    for (let n = 0; n < 3_000; n++) {
      const lock = await locks.acquire([`a${n}`, `b${n}`]);
      expect((await locks.inspect(`a${n}`)).holders).toHaveLength(1);
      await lock.release();
    }
    await locks.close();
  });
});
