import { violations, type Visit } from '../support/history.js';

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
});
