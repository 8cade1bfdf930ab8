import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Below the ports that the system gives to whoever asks for any (32768 to 60999 on Linux): a port
 * that is closed and opened again by a test is nobody else's in between. Each process of a test
 * run has a part of them.
 */
const FIRST = 10_240;
const PARTS = 16;
const PART = Math.floor((32_768 - FIRST) / PARTS);

const part = Number(process.env.JEST_WORKER_ID ?? 0) % PARTS;
let last = Math.floor(Math.random() * PART);

/** A port of 127.0.0.1 that the system says is free. */
export async function freePort(): Promise<number> {
  for (let tries = 1; ; tries++) {
    last = (last + 1) % PART;
    const port = FIRST + part * PART + last;
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch (error) {
      if (tries === PART) throw error;
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Starts something on ports that were free a moment ago; on others when somebody was quicker. */
export async function onFreePorts<T>(start: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await start();
    } catch (error) {
      if (tries === 3 || !/address already in use/i.test(String(error))) throw error;
    }
  }
}
