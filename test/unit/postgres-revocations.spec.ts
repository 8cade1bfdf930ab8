import { PostgresRevocations } from '../../lib/backends/postgres/postgres-revocations.js';
import { eventually } from '../support/eventually.js';

const [SOON, LATE] = [1, 60_000];

it('a revocation is told once, and a later one of the same lease again', () => {
  const revocations = new PostgresRevocations();
  expect(revocations.isNew('a', 7, LATE)).toBe(true);
  expect(revocations.isNew('a', 7, LATE)).toBe(false);
  expect(revocations.isNew('a', 6, LATE)).toBe(false);
  expect(revocations.isNew('a', 7, LATE)).toBe(false);
  expect(revocations.isNew('a', 8, LATE)).toBe(true);
  revocations.forget('a');
  expect(revocations.size).toBe(0);
});

it('what is told after the release does not stay for longer than the lease had to live', async () => {
  const revocations = new PostgresRevocations();
  revocations.forget('released');
  revocations.isNew('released', 1, SOON);
  revocations.isNew('renewed', 1, SOON);
  revocations.isNew('renewed', 1, LATE);
  await eventually('the end of both, had none been renewed', () => {
    revocations.isNew('another', Date.now(), LATE);
    return revocations.size === 2;
  });
  expect(revocations.isNew('renewed', 1, LATE)).toBe(false);
});
