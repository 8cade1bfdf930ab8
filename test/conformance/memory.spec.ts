import { MemoryBackend } from 'nestjs-lock';
import { describeLockBackend } from 'nestjs-lock/testing';

describeLockBackend(
  { describe, it },
  {
    name: 'memory',
    create: () => ({ backend: new MemoryBackend(), close: () => undefined }),
  },
);
