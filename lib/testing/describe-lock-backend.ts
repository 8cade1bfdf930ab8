import type { LockBackend } from '../backends/lock-backend.js';
import type { Chapter, Test } from './chapter.js';
import { asking } from './contract/asking.js';
import { cancelling } from './contract/cancelling.js';
import { looking } from './contract/looking.js';
import { queueing } from './contract/queueing.js';
import { releasing } from './contract/releasing.js';
import { renewing } from './contract/renewing.js';
import { tokens } from './contract/tokens.js';
import { administering } from './contract/administering.js';
import { counting } from './contract/counting.js';
import { keeping } from './contract/keeping.js';
import { isRefused } from './contract/refusing.js';
import { takingTogether } from './contract/taking-together.js';
import { sharing } from './contract/sharing.js';
import { operating } from './service/operating.js';
import { semaphores } from './service/semaphores.js';
import { readers } from './service/readers.js';
import { closing } from './service/closing.js';
import { entering } from './service/entering.js';
import { excluding } from './service/excluding.js';
import { givingBack } from './service/giving-back.js';
import { holding } from './service/holding.js';
import { losing } from './service/losing.js';
import { naming } from './service/naming.js';
import { severalKeys } from './service/several-keys.js';
import { waiting } from './service/waiting.js';
import { webLocks } from './service/web-locks.js';
import { Standstills } from './standstills.js';
import { World } from './world.js';

/** A process that stood still for longer may have renewed a lease of these tests too late, in milliseconds. */
const MOST_STILL = 50;

/** How often a test is tried that fails because of that. */
const TRIALS = 3;

/** What is taken of a test runner. That of jest, vitest, mocha and node:test fits. */
export interface TestRunner {
  readonly describe: (title: string, body: () => void) => unknown;
  readonly it: (title: string, body: () => Promise<void>) => unknown;
}

/** A backend on a store that holds nothing yet. */
export interface FreshBackend {
  readonly backend: LockBackend;
  /** Called at the end of the test, when all that it opened at the backend is closed. */
  readonly close: () => Promise<void> | void;
}

/** The backend that is to be judged. */
export interface BackendUnderTest {
  /** For the title of the suite. */
  readonly name: string;
  /**
   * Called once for each test, and again where the machine was too busy for it. A namespace of its own
   * on a server that they share is enough, and fast. Several processes are several connections of the
   * one backend that it returns.
   */
  readonly create: () => Promise<FreshBackend> | FreshBackend;
}

/** First what the contract says of the store itself, then what a LockService makes of it. */
const parts: Readonly<Record<string, readonly Chapter[]>> = {
  'the contract': [
    asking,
    queueing,
    renewing,
    releasing,
    cancelling,
    tokens,
    looking,
    sharing,
    counting,
    takingTogether,
    keeping,
    administering,
  ],
  'a LockService on it': [
    waiting,
    excluding,
    severalKeys,
    readers,
    semaphores,
    operating,
    webLocks,
    holding,
    losing,
    entering,
    givingBack,
    closing,
    naming,
  ],
};

/**
 * Declares the conformance suite for a backend: a backend that passes keeps the promises of this
 * package, as far as they can be seen without breaking the store.
 *
 * Each test opens and closes what it needs, so they run in any order and also alone. The longest
 * lasts a little over five times the backend's `minTtl`, or about 2.5 s when that is less than
 * 400 ms: a runner with a shorter time limit, or a backend with a longer `minTtl`, needs a higher limit.
 */
export function describeLockBackend(
  { describe, it }: TestRunner,
  { name, create }: BackendUnderTest,
): void {
  describe(`the ${name} backend`, () => {
    for (const [part, chapters] of Object.entries(parts)) {
      describe(part, () => {
        for (const chapter of chapters) {
          describe(chapter.title, () => {
            const run = (test: Test) =>
              inFreshWorld(create, (world) => judge(world, chapter, test));
            for (const [sentence, test] of Object.entries(chapter.tests)) {
              it(sentence, () => run(test));
            }
            for (const [sentence, test] of Object.entries(chapter.hurried ?? {})) {
              it(sentence, () => unlessStill(() => run(test)));
            }
          });
        }
      });
    }
  });
}

/** Tries a test again that fails while this process stood still. */
async function unlessStill(test: () => Promise<void>): Promise<void> {
  const standstills = new Standstills(MOST_STILL);
  try {
    for (let trial = 1; ; trial++) {
      const start = performance.now();
      try {
        await test();
        return;
      } catch (error) {
        if (trial === TRIALS || !standstills.since(start)) throw error;
      }
    }
  } finally {
    standstills.end();
  }
}

/** Runs a test, or what there is to test where the backend does not offer its subject. */
async function judge(world: World, { needs }: Chapter, test: Test): Promise<void> {
  if (needs === 'acquireAll') {
    if (world.process().connection.acquireAll !== undefined) await test(world);
  } else if (needs === undefined || world.backend.supports[needs]) {
    await test(world);
  } else {
    await isRefused(world, needs);
  }
}

async function inFreshWorld(create: BackendUnderTest['create'], test: Test): Promise<void> {
  const { backend, close } = await create();
  const world = new World(backend);
  try {
    try {
      await test(world);
    } catch (error) {
      // Whatever else goes wrong at the end follows from this one.
      await world.close().catch(() => undefined);
      throw error;
    }
    await world.close();
  } finally {
    await close();
  }
}
