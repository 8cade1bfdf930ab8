/**
 * What `nestjs-lock run` and its supervisor (supervisor.ts) say to each other over their IPC channel.
 *
 * A process that is stopped cannot end what it started. So the program is a child of a second, small
 * process, which asks `run` again and again how long the lock is surely held, and counts from before it
 * asked: as a lease is believed in from before its request. When no answer renews that time, the
 * supervisor stops the program so early that it is gone when the lease ends, whatever is wrong:
 * the backend, or `run` itself.
 */
export type FromSupervisor =
  | { readonly kind: 'ask' }
  | { readonly kind: 'started'; readonly pid: number }
  | ({ readonly kind: 'ended' } & Ending);

export type ToSupervisor =
  | { readonly kind: 'answer'; readonly remaining: number }
  /** Passes a signal on to the program. */
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals }
  /** The program is to go: SIGTERM now, and SIGKILL after so many milliseconds if they are given. */
  | { readonly kind: 'stop'; readonly within?: number };

/** How the program ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The system's number for why it could not be run. */
  readonly errno?: number | undefined;
  /** Whether it was stopped for the sake of the lock, or outlived it. */
  readonly stopped: boolean;
}
