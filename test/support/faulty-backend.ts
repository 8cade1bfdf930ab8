import {
  type BackendConnection,
  type LockBackend,
  type LockProcess,
  MemoryBackend,
} from 'nestjs-lock';

/** What a backend does wrong: some methods in the place of those that are right. */
export type Fault = (right: BackendConnection, process: LockProcess) => Partial<BackendConnection>;

/** A memory backend with a fault. Each has its own memory of what it did wrong. */
export function faulty(fault: Fault): LockBackend {
  const backend = new MemoryBackend();
  return {
    name: backend.name,
    minTtl: backend.minTtl,
    supports: backend.supports,
    connect(process) {
      const right = backend.connect(process);
      return { ...right, ...fault(right, process) };
    },
  };
}
