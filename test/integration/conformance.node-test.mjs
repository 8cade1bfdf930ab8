// The conformance suite under node:test and on the built package, as somebody with a backend of
// their own runs it. With FAULTY each process has locks of its own, which must not pass.
import { describe, it } from 'node:test';
import { MemoryBackend } from 'nestjs-lock';
import { describeLockBackend } from 'nestjs-lock/testing';

const faulty = () => ({
  name: 'faulty',
  minTtl: 10,
  supports: { shared: true, limit: true },
  connect: (process) => new MemoryBackend().connect(process),
});

describeLockBackend(
  { describe, it },
  {
    name: 'memory',
    create: () => ({
      backend: process.env.FAULTY ? faulty() : new MemoryBackend(),
      close: () => undefined,
    }),
  },
);
