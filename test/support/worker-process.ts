import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Visit } from './history.js';
import type { Call, Failure, Locks, Look, Methods, Report, WorkerSettings } from './worker.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** How long a process may take to exit by itself, in milliseconds. */
const PATIENCE = 8_000;

/** How long Node may take to clean up after that, in milliseconds: version 20 sometimes spins there for ever. */
const CLEAN_UP = 2_000;

/** What a worker rejected with. */
export class WorkerError extends Error {
  readonly reason: string | undefined;

  constructor({ name, message, reason }: Failure) {
    super(message);
    this.name = name;
    this.reason = reason;
  }
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

interface Turn {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A process with a LockService of its own, on the built package. What it runs is in worker.ts. */
export class WorkerProcess {
  /** How it ended; an unhandled rejection is code 1. */
  readonly ended: Promise<Ending>;
  /** What it told of its visits, by token, as they went on. */
  readonly #visits = new Map<number, Visit>();
  readonly #turns = new Map<number, Turn>();
  readonly #events = new EventEmitter();
  #calls = 0;
  #ending: Ending | undefined;
  /** When it had nothing left to do, and with what code it went then. */
  #exit: { readonly code: number; readonly at: number } | undefined;
  #killed = false;
  #log = '';

  private constructor(private readonly child: ChildProcess) {
    this.ended = once(child, 'close').then(([code, signal]) => {
      const how = { code: code as number | null, signal: signal as NodeJS.Signals | null };
      this.#ending = this.#exit === undefined ? how : { code: this.#exit.code, signal: null };
      for (const { reject } of this.#turns.values()) reject(new Error('the worker has ended'));
      return this.#ending;
    });
    child.on('message', (report) => {
      this.#hear(report as Report);
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#log += chunk.toString();
      const code = /^exits with (\d+)$/m.exec(this.#log)?.[1];
      if (code === undefined || this.#exit !== undefined) return;
      this.#exit = { code: Number(code), at: performance.now() };
      setTimeout(() => this.child.kill('SIGKILL'), CLEAN_UP).unref();
    });
  }

  static async start(settings: WorkerSettings): Promise<WorkerProcess> {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', await program()], {
      cwd: root,
      env: { ...process.env, WORKER_SETTINGS: JSON.stringify(settings) },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced', // for Infinity
    });
    const worker = new WorkerProcess(child);
    const ready = once(child, 'message').then(() => true);
    if (await Promise.race([ready, worker.ended.then(() => false)])) return worker;
    throw new Error(`the worker did not start: ${worker.#log}`);
  }

  /** Runs a method of the worker there. */
  call<Name extends keyof Methods>(
    method: Name,
    ...args: Parameters<Methods[Name]>
  ): Promise<Awaited<ReturnType<Methods[Name]>>> {
    return new Promise((resolve, reject) => {
      const call = ++this.#calls;
      this.#turns.set(call, { resolve: resolve as (value: unknown) => void, reject });
      this.child.send({ call, method, args } satisfies Call);
    });
  }

  /** What the holder of this lock sees when its signal is aborted, or after the next watched pause. */
  async look(event: 'lost' | 'paused', lock: string): Promise<Look> {
    const [look] = (await once(this.#events, `${event} ${lock}`)) as [Look];
    return look;
  }

  /** The visits that it told of; those that go on end at Infinity. */
  get visits(): Visit[] {
    return [...this.#visits.values()];
  }

  get running(): boolean {
    return this.#ending === undefined;
  }

  /** Lets it be done with its store. */
  async leave(): Promise<void> {
    this.thaw();
    await this.call('leave');
  }

  /** Lets it go on at another store. */
  async enter(locks: Locks): Promise<void> {
    await this.call('enter', locks);
    this.#visits.clear();
  }

  /** SIGSTOP. */
  freeze(): void {
    this.child.kill('SIGSTOP');
  }

  thaw(): void {
    this.child.kill('SIGCONT');
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#killed = true;
    this.child.kill('SIGKILL');
    await this.ended;
  }

  /** Lets it close, and waits until it exits by itself. Resolves to the milliseconds that took. */
  async close(): Promise<number> {
    const start = performance.now();
    this.thaw();
    // The process goes without an answer.
    this.call('close').catch(() => undefined);
    const overdue = setTimeout(() => {
      const where = this.child.connected ? 'in the midst of close()' : 'though it has closed all';
      this.#log += `\nstill running ${PATIENCE} ms after it was told to close, ${where}`;
      this.child.kill('SIGKILL');
    }, PATIENCE);
    await this.ended;
    clearTimeout(overdue);
    return (this.#exit?.at ?? performance.now()) - start;
  }

  /** Closes it unless it has ended already; throws unless it ended well, or was killed from here. */
  async assertEndsWell(): Promise<void> {
    if (this.#ending === undefined) await this.close();
    if (this.#killed || this.#ending?.code === 0) return;
    throw new Error(`a worker ended with ${JSON.stringify(this.#ending)}: ${this.#log}`);
  }

  #hear(report: Report): void {
    if ('event' in report) {
      this.#events.emit(`${report.event} ${report.lock}`, report.look);
    } else if ('visit' in report) {
      this.#visits.set(report.visit.token, report.visit);
    } else if ('call' in report) {
      const turn = this.#turns.get(report.call);
      this.#turns.delete(report.call);
      if ('failure' in report) turn?.reject(new WorkerError(report.failure));
      else turn?.resolve(report.value);
    }
  }
}

/** worker.ts as JavaScript. */
let javascript: Promise<string> | undefined;

function program(): Promise<string> {
  assertBuilt();
  return (javascript ??= transpiled());
}

async function transpiled(): Promise<string> {
  // Only now: it takes long to load, and most who import this module start no worker.
  const { default: ts } = await import('typescript');
  return ts.transpileModule(readFileSync(new URL('./worker.ts', import.meta.url), 'utf8'), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  }).outputText;
}

/** For those who run what is in dist/: it must be there, and be no older than lib/. */
export function assertBuilt(): void {
  const built = join(root, 'dist/esm/index.js');
  if (!existsSync(built)) throw new Error('dist/ is missing: run `npm run build` first');
  const age = statSync(built).mtimeMs;
  const newer = readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' }).find(
    (file) => /\.(ts|lua)$/.test(file) && statSync(join(root, 'lib', file)).mtimeMs > age,
  );
  if (newer !== undefined) {
    throw new Error(`dist/ is older than lib/${newer}: run \`npm run build\` first`);
  }
}
