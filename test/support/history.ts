import type { Lock, LockMode } from 'nestjs-lock';

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
  /** When it began to ask, where somebody is interested in that. */
  readonly asked?: number;
  /** How it held the key: alone when nothing is said. */
  readonly mode?: LockMode;
  readonly limit?: number;
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

/**
 * What must not be in a history, in words: more valid holders at once than may be, holders with
 * different limits at once, or a token that does not rise. Those who may hold together learn of their grants in any order, so that of their
 * tokens nothing is known but that they differ.
 */
export function violations(history: readonly Visit[]): string[] {
  const found: string[] = [];
  for (const visits of byKey(history)) {
    const tokens = new Map<number, Visit>();
    /** Those with the greatest token of all, and of all who are not readers. */
    let greatest: Visit | undefined;
    let greatestWriter: Visit | undefined;
    let inside: Visit[] = [];
    for (const visit of visits) {
      const { mode = 'exclusive', limit = 1, token } = visit;
      const shared = mode === 'shared';
      const before = limit > 1 ? tokens.get(token) : shared ? greatestWriter : greatest;
      const twin = tokens.get(token) ?? before;
      if (twin !== undefined && token <= twin.token) {
        found.push(`${shown(visit)} entered with no greater token than ${shown(twin)}`);
      }
      tokens.set(token, visit);
      if (token >= (greatest?.token ?? 0)) greatest = visit;
      if (!shared && token >= (greatestWriter?.token ?? 0)) greatestWriter = visit;

      if (!visit.valid) continue;
      inside = inside.filter(({ leave }) => leave > visit.enter);
      const others = shared ? inside.filter((other) => other.mode !== 'shared') : inside;
      const mixed = others.some((other) => (other.limit ?? 1) !== limit);
      if (others.length >= limit || mixed) {
        found.push(`${shown(visit)} entered while ${others.map(shown).join(', ')} was inside`);
      }
      inside.push(visit);
    }
  }
  return found;
}

/** How many valid holders were inside at once, at most. */
export function crowd(history: readonly Visit[]): number {
  let most = 0;
  for (const visits of byKey(history.filter(({ valid }) => valid))) {
    let inside: Visit[] = [];
    for (const visit of visits) {
      inside = [...inside.filter(({ leave }) => leave > visit.enter), visit];
      most = Math.max(most, inside.length);
    }
  }
  return most;
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
