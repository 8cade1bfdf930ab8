import { isObservable } from 'rxjs';

type Dynamic = Partial<Record<PropertyKey, unknown>>;

/**
 * Whether a value is read only later, when a lock around what made it is gone: an Observable, an async
 * iterable, a stream of Node or of the web, a StreamableFile.
 */
export function isStream(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  // By what is there: a test's mock has every property that it is asked for.
  if ('subscribe' in value && isObservable(value)) return true;
  if (isAsyncIterable(value) || has(value, 'getReader')) return true;
  if (has(value, 'pipe') && (value as Dynamic).readable === true) return true;
  return isStreamableFile(value) && !isInMemory(value);
}

export function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** Ends a stream that nobody will read, so that it keeps no file, cursor or socket open. Never throws. */
export function discard(stream: object): void {
  try {
    if (isStreamableFile(stream)) {
      discard(stream.getStream());
      return;
    }
    // Nobody else listens: what fails while it is ended would crash the process.
    if (has(stream, 'on')) stream.on('error', () => undefined);
    const end = ['destroy', 'cancel', Symbol.asyncDispose, 'return'].find((name) =>
      has(stream, name),
    );
    if (end === undefined) return;
    const ending = (stream as Record<PropertyKey, () => unknown>)[end]?.();
    Promise.resolve(ending).catch(() => undefined);
  } catch {
    // It refuses to end; the caller is told of the refusal, and not of that.
  }
}

interface StreamableFile {
  getStream(): object;
  getHeaders(): { length?: number };
}

/** By structure: an application may have several copies of Nest. */
function isStreamableFile(value: object): value is StreamableFile {
  return has(value, 'getStream') && has(value, 'getHeaders');
}

/** A file that was made of a buffer needs nothing more to be read. */
function isInMemory(file: StreamableFile): boolean {
  return (file.getStream() as Dynamic).readableLength === file.getHeaders().length;
}

function has<Name extends PropertyKey>(
  value: object,
  name: Name,
): value is object & Record<Name, (...args: unknown[]) => unknown> {
  return name in value && typeof (value as Dynamic)[name] === 'function';
}
