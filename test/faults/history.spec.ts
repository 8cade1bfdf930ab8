import { crowd, violations, type Visit } from '../support/history.js';

const sound: Visit = { key: 'a', token: 1, enter: 0, leave: 10, valid: true };

describe('the history checker', () => {
  it('finds nothing wrong with visits after each other', () => {
    expect(violations([sound, { ...sound, token: 2, enter: 10, leave: 20 }])).toEqual([]);
  });

  it('finds two valid holders at once, also behind a third', () => {
    const long = { ...sound, leave: 30 };
    const short = { ...sound, token: 2, enter: 31, leave: 32 };
    const late = { ...sound, token: 3, enter: 29, leave: 40 };
    expect(violations([long, late])).toEqual([
      'a#3 [29.0, 40.0] entered while a#1 [0.0, 30.0] was inside',
    ]);
    expect(violations([long, { ...short, enter: 5, leave: 6 }, late])).toHaveLength(2);
  });

  it('allows a holder that was not valid any more beside a valid one', () => {
    const stopped = { ...sound, leave: 30, valid: false };
    expect(violations([stopped, { ...sound, token: 2, enter: 10, leave: 20 }])).toEqual([]);
  });

  it('finds tokens that fall or stay, also those of holders that were not valid', () => {
    const later = { ...sound, enter: 10, leave: 20, valid: false };
    expect(
      violations([
        { ...sound, token: 2 },
        { ...later, token: 1 },
      ]),
    ).toHaveLength(1);
    expect(violations([sound, { ...later, token: 1 }])).toHaveLength(1);
  });

  it('looks at each key by itself, in order of entry', () => {
    const other = { ...sound, key: 'b' };
    expect(violations([{ ...other, token: 9 }, sound])).toEqual([]);
    expect(violations([{ ...sound, token: 2, enter: 10, leave: 20 }, sound])).toEqual([]);
  });

  it('lets readers be inside together, and no writer beside them', () => {
    const reader = { ...sound, mode: 'shared' as const };
    const other = { ...reader, token: 2, enter: 5, leave: 15 };
    const writer = { ...sound, token: 3, enter: 12, leave: 20 };
    expect(violations([reader, other])).toEqual([]);
    expect(violations([reader, other, writer])).toEqual([
      'a#3 [12.0, 20.0] entered while a#2 [5.0, 15.0] was inside',
    ]);
    expect(violations([writer, { ...reader, token: 4, enter: 19, leave: 30 }])).toHaveLength(1);
    expect(violations([reader, other, { ...writer, enter: 15 }])).toEqual([]);
  });

  it('lets readers who entered together have their tokens in any order, but after all writers', () => {
    const writer = { ...sound, token: 2 };
    const reader = { ...sound, mode: 'shared' as const, enter: 10, leave: 20 };
    expect(violations([writer, { ...reader, token: 4 }, { ...reader, token: 3 }])).toEqual([]);
    expect(violations([writer, { ...reader, token: 3 }, { ...reader, token: 3 }])).toHaveLength(1);
    expect(violations([writer, { ...reader, token: 1 }])).toHaveLength(1);
    const next = { ...sound, enter: 20, leave: 30 };
    expect(
      violations([
        { ...reader, token: 5 },
        { ...next, token: 4 },
      ]),
    ).toHaveLength(1);
  });

  it('finds one more than the limit, and counts who is inside', () => {
    const permit = { ...sound, limit: 2 };
    const visits = [permit, { ...permit, token: 2 }, { ...permit, token: 3, enter: 10, leave: 20 }];
    expect(violations(visits)).toEqual([]);
    expect(crowd(visits)).toBe(2);
    const late = { ...permit, token: 4, enter: 9, leave: 12 };
    expect(violations([...visits, late])).toHaveLength(1);
    expect(crowd([...visits, late])).toBe(3);
    expect(crowd([permit, { ...permit, token: 5, valid: false }])).toBe(1);
  });

  it('finds those with different limits who were inside together', () => {
    const permit = { ...sound, limit: 2 };
    const other = { ...sound, limit: 3, token: 2 };
    expect(violations([permit, { ...other, enter: 10, leave: 20 }])).toEqual([]);
    for (const late of [
      other,
      { ...sound, token: 2 },
      { ...sound, mode: 'shared', token: 2 } as const,
    ]) {
      expect(violations([permit, { ...late, enter: 9, leave: 20 }])).toHaveLength(1);
    }
  });
});
