import {
  isLeaseGone,
  isPassing,
  isRefusal,
  isUnsent,
} from '../../lib/backends/etcd/etcd-errors.js';

/** What a bundler makes of the errors of etcd3. */
class _a extends Error {}

describe('an error of etcd3 whose class a bundler has renamed', () => {
  it.each([
    '14 UNAVAILABLE: Connection dropped',
    '4 DEADLINE_EXCEEDED: Deadline exceeded after 2.001s',
    '1 CANCELLED: Cancelled on client',
    '13 INTERNAL: Received RST_STREAM with code 2',
    '2 UNKNOWN: etcdserver: request timed out',
    '16 UNAUTHENTICATED: etcdserver: invalid auth token',
    'Execution prevented because the circuit breaker is open',
  ])('is known to pass: %s', (message) => {
    expect(isPassing(new _a(message))).toBe(true);
    expect(isRefusal(new _a(message))).toBe(false);
  });

  it.each([
    '7 PERMISSION_DENIED: etcdserver: permission denied',
    '3 INVALID_ARGUMENT: etcdserver: authentication failed, invalid user ID or password',
    '8 RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded',
  ])('is known to be final: %s', (message) => {
    expect(isRefusal(new _a(message))).toBe(true);
  });

  it('says that a lease is gone, and that a request was not sent', () => {
    const gone = new _a('5 NOT_FOUND: etcdserver: requested lease not found');
    expect([isLeaseGone(gone), isPassing(gone), isRefusal(gone)]).toEqual([true, true, true]);
    expect(isUnsent(new _a('14 UNAVAILABLE: No connection established. Last error: null'))).toBe(
      true,
    );
    expect(isUnsent(new _a('14 UNAVAILABLE: Connection dropped'))).toBe(false);
  });
});
