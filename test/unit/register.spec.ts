import fc from 'fast-check';
import { Register } from '../../lib/structures/register.js';

interface Entry {
  readonly id: string;
}

const far = 2 ** 40;

describe('what belongs to the requests of a process', () => {
  it('is found, and given in the order of their counters, whatever came and went', () => {
    const counter = fc.oneof(
      fc.nat(100),
      fc.nat(100_000),
      fc.nat(100).map((n) => far + n),
    );
    const step = fc.tuple(fc.boolean(), counter);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const register = new Register<Entry>();
        const model = new Map<number, Entry>();
        for (const [adds, n] of steps) {
          const id = `host#1##random:${n}`;
          if (adds) {
            const entry = { id };
            register.add(entry);
            model.set(n, entry);
          } else {
            register.delete(id);
            model.delete(n);
          }
          expect(register.find(id)).toBe(model.get(n));
          expect(register.size).toBe(model.size);
        }
        const inOrder = [...model].sort(([one], [other]) => one - other).map(([, entry]) => entry);
        expect(register.values()).toEqual(inOrder);
        register.clear();
        expect([register.size, register.values()]).toEqual([0, []]);
      }),
    );
  });

  it('is not that of another process', () => {
    const register = new Register<Entry>();
    const entry = { id: 'one:7' };
    register.add(entry);
    register.delete('other:7');
    expect(register.find('other:7')).toBeUndefined();
    expect(register.find('one:7')).toBe(entry);
  });
});
