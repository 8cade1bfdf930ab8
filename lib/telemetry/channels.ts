/**
 * The channels of `node:diagnostics_channel` on which this package tells what happens to its locks.
 * `acquire`, `hold` and `backend` are tracing channels, each with the five that Node makes of a name:
 * `tracingChannel(CHANNELS.acquire)`, or `tracing:nestjs-lock:acquire:start` and so on. To the others
 * subscribe by `subscribe(CHANNELS.lost, …)`.
 *
 * What a subscriber throws reaches no lock; but Node raises it as an uncaught exception.
 */
export const CHANNELS = {
  /** An {@link AcquireMessage}: from the call to its grant, or to its end without one. */
  acquire: 'nestjs-lock:acquire',
  /** A {@link HoldMessage}: from the grant until the lock was given back. */
  hold: 'nestjs-lock:hold',
  /** A {@link BackendMessage}: one call of the backend. */
  backend: 'nestjs-lock:backend',
  /** A {@link LostMessage}: a lock ended before it was given back. */
  lost: 'nestjs-lock:lost',
  /** A {@link RenewedMessage}: leases were renewed together. */
  renewed: 'nestjs-lock:renewed',
  /** A {@link RevocationMessage}: somebody asks for a lock of this process. */
  revocation: 'nestjs-lock:revocation',
  /** A {@link LeadershipMessage}: this process leads from now on, or no more. */
  leadership: 'nestjs-lock:leadership',
  /** A {@link PausedMessage}: a node of the store lost its memory, and grants nothing for a while. */
  paused: 'nestjs-lock:paused',
  /** A {@link WarningMessage}: what is logged as a warning. */
  warning: 'nestjs-lock:warning',
} as const;
