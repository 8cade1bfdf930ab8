import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import { createRequire } from 'node:module';
import { EPOCH, type Happening, Phase, type Timeline } from './clock/timeline.js';
import type { LoadedPackage, PackageLoader, Surroundings } from './package-loader.js';

const nodeRequire = createRequire(import.meta.url);

/** What timers of Node count at most, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** By how much clocks run faster or slower than they should, at most: a little less than leases allow for. */
export const DRIFT = 0.008;

/** In this time not both clocks are wrong, in milliseconds: nobody can tell how long a lease has lived then. */
const LEASE = 20_000;

/** A timer of a simulated process. */
interface SimTimer {
  isOver: boolean;
  keepsAlive: boolean;
  /** When it is to ring, by the monotonic clock. */
  due: number;
}

/**
 * A process with clocks of its own, in which the package was loaded. It can be paused, which is as good as a
 * blocked event loop, a stopped process or a machine that sleeps without its clock; and killed.
 */
export class SimProcess {
  readonly package: LoadedPackage;
  isDead = false;
  /** Whether one of its users stands for the leadership. */
  stands = false;
  #pausedUntil = 0;
  /** How long its machine has slept. */
  #slept = 0;
  #sleptAt = -Infinity;
  #setBackAt = -Infinity;
  /** By how much its wall clock is wrong, in milliseconds. */
  #wallOffset = 0;
  /** How fast its monotonic clock runs. */
  readonly #rate: number;
  readonly #timers = new Set<SimTimer>();
  readonly #storages = new Set<AsyncLocalStorage<unknown>>();

  constructor(
    readonly name: string,
    private readonly timeline: Timeline,
    loader: PackageLoader,
  ) {
    this.#rate = 1 + timeline.random.between(-DRIFT, DRIFT);
    this.package = loader.load(this.#surroundings());
  }

  get isPaused(): boolean {
    return this.timeline.now < this.#pausedUntil;
  }

  /** Timers that would keep it from exiting. */
  get pendingTimers(): number {
    return [...this.#timers].filter(({ keepsAlive }) => keepsAlive).length;
  }

  pause(ms: number): void {
    this.#pausedUntil = this.timeline.now + ms;
  }

  /** Its machine sleeps: of its clocks only the one on the wall goes on. */
  fallAsleep(ms: number): void {
    if (this.timeline.now < this.#setBackAt + LEASE) return;
    this.#sleptAt = this.timeline.now + ms;
    this.pause(ms);
    this.#slept += ms;
  }

  /** Nothing happens in it any more. */
  kill(): void {
    this.isDead = true;
    this.#timers.clear();
    // Node keeps each for ever that was used, and asks all of them for each promise.
    for (const storage of this.#storages) storage.disable();
  }

  stepWallClock(ms: number): void {
    if (ms < 0 && this.timeline.now < this.#sleptAt + LEASE) return;
    if (ms < 0) this.#setBackAt = this.timeline.now;
    this.#wallOffset += ms;
  }

  /** Something happens in this process then; later if it is paused, and never if it is dead. */
  at(time: number, run: Happening, phase?: Phase): void {
    const inProcess = (): void | Promise<void> => {
      if (this.isDead) return;
      if (this.isPaused) this.timeline.at(this.#pausedUntil, inProcess, phase);
      else return run();
    };
    this.timeline.at(time, inProcess, phase);
  }

  /** By its own clock. */
  readonly sleep = (ms: number): Promise<void> => {
    return new Promise((resolve) => {
      const wake = (): void => {
        resolve();
      };
      this.#setTimer(wake, ms, [], false).unref();
    });
  };

  /** What its wall clock shows. */
  get wallClock(): number {
    return this.#wall();
  }

  #monotonic(): number {
    return (this.timeline.now - this.#slept) * this.#rate;
  }

  #wall(): number {
    return Math.floor(EPOCH + this.timeline.now * this.#rate + this.#wallOffset);
  }

  #setTimer(run: (...args: unknown[]) => void, ms: number, args: unknown[], repeats: boolean) {
    const wait = ms >= 1 && ms <= LONGEST_TIMER ? ms : 1;
    const timer: SimTimer = { isOver: false, keepsAlive: true, due: this.#monotonic() + wait };
    this.#timers.add(timer);
    const left = (): number => timer.due - this.#monotonic();
    const arm = (): void => {
      this.at(this.timeline.now + left() / this.#rate, ring, Phase.Timers);
    };
    const ring = (): void => {
      if (timer.isOver) return;
      // Its clock stood still while its machine slept.
      if (left() > 0.000_1) {
        arm();
        return;
      }
      timer.due += wait;
      if (repeats) arm();
      else this.#end(timer);
      run(...args);
    };
    arm();
    const keepAlive = (whether: boolean) => () => {
      timer.keepsAlive = whether;
      return timer;
    };
    return Object.assign(timer, {
      ref: keepAlive(true),
      unref: keepAlive(false),
      hasRef: () => timer.keepsAlive,
    });
  }

  #end(timer: SimTimer | undefined): void {
    if (timer === undefined) return;
    timer.isOver = true;
    this.#timers.delete(timer);
  }

  #surroundings(): Surroundings {
    const { random } = this.timeline;
    const wall = () => this.#wall();
    class SimDate extends Date {
      constructor(...args: [] | [number]) {
        super(args.length === 0 ? wall() : args[0]);
      }

      static override now(): number {
        return wall();
      }
    }
    type Callback = (...args: unknown[]) => void;
    const clear = (timer: SimTimer | undefined) => {
      this.#end(timer);
    };
    const timers = {
      setTimeout: (run: Callback, ms = 1, ...args: unknown[]) =>
        this.#setTimer(run, ms, args, false),
      setInterval: (run: Callback, ms = 1, ...args: unknown[]) =>
        this.#setTimer(run, ms, args, true),
      setImmediate: (run: Callback, ...args: unknown[]) => {
        const immediate: SimTimer = { isOver: false, keepsAlive: true, due: 0 };
        const ring = (): void => {
          if (!immediate.isOver) run(...args);
        };
        this.at(this.timeline.now, ring, Phase.Immediates);
        return immediate;
      },
      clearTimeout: clear,
      clearInterval: clear,
      clearImmediate: clear,
    };
    const globals = {
      ...timers,
      performance: { now: () => this.#monotonic() },
      Date: SimDate,
      Math: Object.create(Math, { random: { value: random.next } }) as Math,
      // Its id stands in the names of requests.
      process: Object.create(process, { pid: { value: 1 } }) as NodeJS.Process,
    };
    const storages = this.#storages;
    class SimStorage<T> extends AsyncLocalStorage<T> {
      constructor() {
        super();
        storages.add(this);
      }
    }
    const crypto = nodeRequire('node:crypto') as object;
    const os = nodeRequire('node:os') as object;
    return {
      globals,
      modules: {
        'node:async_hooks': { AsyncResource, AsyncLocalStorage: SimStorage },
        'node:timers': { ...(nodeRequire('node:timers') as object), ...timers },
        'node:crypto': {
          ...crypto,
          randomBytes: (count: number) => random.bytes(count),
          randomUUID: () => random.bytes(16).toString('hex'),
        },
        'node:os': { ...os, hostname: () => this.name },
      },
    };
  }
}
