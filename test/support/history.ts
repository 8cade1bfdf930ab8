import type { Lock } from 'nestjs-lock';

/** A stay of one holder at the resource. */
export interface Visit {
  readonly key: string;
  readonly token: number;
  /** When it came, after its grant; by {@link machineTime}. */
  readonly enter: number;
  /** When it left: before its release was sent, or when it was told that its lock is lost. */
  readonly leave: number;
  /** Whether the lock was its own until it left. One that was not is left to the resource to refuse. */
  readonly valid: boolean;
}

/** Milliseconds on a clock that all processes of the machine share. */
export function machineTime(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** A grant, and when its holder came to know of it. */
export interface Entry {
  readonly token: number;
  readonly at: number;
}

/** Waits for a lock of this process. */
export async function entered(granted: Promise<Lock>): Promise<Entry & { readonly lock: Lock }> {
  const lock = await granted;
  return { lock, token: lock.fencingToken, at: machineTime() };
}

/** Waits until the signal of a lock is aborted. */
export function lost(lock: Lock): Promise<{ readonly reason: unknown; readonly at: number }> {
  return new Promise((resolve) => {
    lock.signal.addEventListener('abort', () => {
      resolve({ reason: lock.signal.reason as unknown, at: machineTime() });
    });
  });
}

/** A visit that ends now, unless another moment is given. */
export function visit(
  key: string,
  { token, at }: Entry,
  leave = machineTime(),
  valid = true,
): Visit {
  return { key, token, enter: at, leave, valid };
}

/** What must not be in a history, in words: two valid holders at once, or a token that does not rise. */
export function violations(history: readonly Visit[]): string[] {
  const found: string[] = [];
  for (const visits of byKey(history)) {
    let previous: Visit | undefined;
    let inside: Visit | undefined;
    for (const visit of visits) {
      if (previous !== undefined && visit.token <= previous.token) {
        found.push(`${shown(visit)} entered with no greater token than ${shown(previous)}`);
      }
      previous = visit;
      if (!visit.valid) continue;
      if (inside !== undefined && visit.enter < inside.leave) {
        found.push(`${shown(visit)} entered while ${shown(inside)} was inside`);
      }
      if (inside === undefined || visit.leave > inside.leave) inside = visit;
    }
  }
  return found;
}

/** How often a valid holder entered while another was inside. */
export function overlaps(history: readonly Visit[]): number {
  return violations(history).filter((words) => words.includes('was inside')).length;
}

function byKey(history: readonly Visit[]): Visit[][] {
  const keys = new Map<string, Visit[]>();
  for (const visit of [...history].sort((one, other) => one.enter - other.enter)) {
    const visits = keys.get(visit.key);
    if (visits === undefined) keys.set(visit.key, [visit]);
    else visits.push(visit);
  }
  return [...keys.values()];
}

function shown({ key, token, enter, leave }: Visit): string {
  return `${key}#${token} [${enter.toFixed(1)}, ${leave.toFixed(1)}]`;
}
