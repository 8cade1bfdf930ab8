import ms from 'ms';
import type { LockHolder, LockOwner, LockState, LockWaiter } from '../interfaces/index.js';

/** Results, on stdout: for humans aligned text, for programs JSON. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Everything else, on stderr: stdout belongs to the result, or to the program that is run. */
export function complain(message: string): void {
  process.stderr.write(`nestjs-lock: ${message}\n`);
}

export function describeList(states: readonly LockState[]): string {
  return table(
    ['KEY', ...HOLDER_COLUMNS, 'WAITING'],
    states.flatMap(({ key, holders, waiters }) =>
      holders.map((holder) => [plain(key), ...holderCells(holder), String(waiters)]),
    ),
  );
}

export function describeState({ key, holders, waiters, queue }: LockState): string {
  const parts = [`${plain(key)} is ${holders.length === 0 ? 'free' : 'held by'}`];
  if (holders.length > 0) parts.push(table(HOLDER_COLUMNS, holders.map(holderCells)));
  if (waiters > 0) {
    const shown = queue.length < waiters ? `, the first ${queue.length} of them` : '';
    parts.push(`${waiters} waiting${shown}`);
  }
  if (queue.length > 0) parts.push(table(WAITER_COLUMNS, queue.map(waiterCells)));
  return parts.join('\n');
}

const HOLDER_COLUMNS = ['HOLDER', 'LABEL', 'MODE', 'SINCE', 'LEFT', 'TOKEN'];

export function holderCells({ owner, mode, since, remaining, fencingToken }: LockHolder): string[] {
  return [...ownerCells(owner), mode, ago(since), ms(Math.round(remaining)), String(fencingToken)];
}

const WAITER_COLUMNS = ['PLACE', 'WAITER', 'LABEL', 'MODE', 'SINCE'];

function waiterCells({ place, owner, mode, since }: LockWaiter): string[] {
  return [String(place), ...ownerCells(owner), mode, ago(since)];
}

function ownerCells({ host, pid, label }: LockOwner): string[] {
  return [host === undefined ? '?' : `${plain(host)}/${pid ?? '?'}`, plain(label ?? '')];
}

function ago(since: Date): string {
  return `${ms(Math.max(0, Date.now() - since.getTime()))} ago`;
}

/** Columns as wide as their widest cell. */
function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [columns, ...rows];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Others chose these names: they must not move the cursor of an operator's terminal. */
function plain(name: string): string {
  return name.replace(/\p{C}/gu, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16);
    return `\\u{${code}}`;
  });
}
