// Every measurement runs in processes of its own, so that no contestant runs in the heap, the event
// loop or the compiled code of another. A workload's file says what they do, as its `roles`: this is
// how the bench starts one, and child.mjs is what it starts.
import { fork } from 'node:child_process';
import { join } from 'node:path';

const script = join(import.meta.dirname, 'child.mjs');

// A child ends when its channel closes, but not one that is stopped.
const alive = new Set();
process.on('exit', () => alive.forEach((child) => child.kill('SIGKILL')));

/** What a workload asks a child to do. */
export class Actor {
  #child;
  #messages = [];
  #wake;
  #failure;
  #patience;

  /**
   * @param {object} assignment which workload, role, contestant, environment and parameters
   * @param {number} patience ms to wait for any answer
   */
  constructor(assignment, patience, execArgv = []) {
    this.#patience = patience;
    this.#child = fork(script, [], {
      serialization: 'advanced',
      execArgv,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    alive.add(this.#child);
    let stderr = '';
    this.#child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
    this.#child.on('message', (message) => {
      this.#messages.push(message);
      this.#wake?.();
    });
    this.#child.on('exit', (code, signal) => {
      alive.delete(this.#child);
      this.#failure = new Error(`ended with ${code ?? signal}: ${stderr.trim().slice(-500)}`);
      this.#wake?.();
    });
    this.#child.send(assignment);
  }

  /** Resolves when the child can be asked. */
  async ready() {
    await this.#next();
    return this;
  }

  /** Calls a method of its role, and resolves to what that returns. */
  do(method, ...args) {
    this.#child.send({ method, args });
    return this.#next();
  }

  kill(signal = 'SIGKILL') {
    this.#child.kill(signal);
  }

  /** Kills it and resolves when it is gone. */
  async end() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }

  async #next() {
    const deadline = Date.now() + this.#patience;
    while (this.#messages.length === 0) {
      if (this.#failure) throw this.#failure;
      const rest = deadline - Date.now();
      if (rest <= 0) throw new Error(`no answer within ${this.#patience / 1_000} s`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, rest);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const { error, value } = this.#messages.shift();
    if (error) throw new Error(error);
    return value;
  }
}
