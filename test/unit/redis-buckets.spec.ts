import { BUCKETS, bucketOf, Keyspace } from '../../lib/backends/redis-common/keyspace.js';
import { slotOf } from '../../lib/backends/redis-common/cluster-slot.js';

describe('the bucket of a key', () => {
  // Processes of different versions must agree: these never change.
  it.each([
    ['', 217],
    ['a', 32],
    ['order:7', 127],
    ['order:8', 226],
    ['{order}:7', 212],
    ['Schlüssel', 196],
    ['鍵🔑', 84],
    ['x'.repeat(64), 94],
  ])('of %j is %i', (key, bucket) => {
    expect(bucketOf(key)).toBe(bucket);
  });

  it.each([
    ['numbers', (n: number) => String(n)],
    ['orders', (n: number) => `order:${n}`],
    ['padded numbers', (n: number) => `customer/${String(n).padStart(12, '0')}/invoice`],
    ['random ids', (n: number) => `${Math.imul(n, 0x9e3779b1) >>> 0}`.padStart(10, '0')],
  ])('is spread evenly over all of them: %s', (_, key) => {
    const counts = new Array<number>(BUCKETS).fill(0);
    for (let n = 0; n < 100 * BUCKETS; n++) counts[bucketOf(key(n))]!++;
    // By chance alone one bucket in 256 has some 130.
    expect(Math.max(...counts)).toBeLessThan(150);
    expect(Math.min(...counts)).toBeGreaterThan(50);
  });
});

describe('the slot of a name', () => {
  it.each([
    ['123456789', 12_739],
    ['foo', 12_182],
    ['{foo}:lock', 12_182],
    ['before{foo}after{bar}', 12_182],
    ['{}foo', 9_500],
    ['', 0],
  ])('%j is %i', (name, slot) => {
    expect(slotOf(name)).toBe(slot);
  });

  it('is the same for all names of a bucket, whatever is in them', () => {
    const keyspace = new Keyspace('prefix:', 'nestjs-lock', 77);
    const names = [...keyspace.of('}{ {braces} }{'), `${keyspace.channel}{process}`];
    expect(new Set(names.map(slotOf))).toEqual(new Set([slotOf('nestjs-lock:77')]));
  });

  it('differs from bucket to bucket, all over the Cluster', () => {
    const slots = Array.from({ length: BUCKETS }, (_, bucket) => {
      return slotOf(new Keyspace('', 'nestjs-lock', bucket).sequence);
    });
    expect(new Set(slots).size).toBeGreaterThan(250);
    for (const third of [0, 1, 2]) {
      const there = slots.filter((slot) => Math.floor((3 * slot) / 16_384) === third);
      expect(there.length).toBeGreaterThan(BUCKETS / 4);
    }
  });
});
