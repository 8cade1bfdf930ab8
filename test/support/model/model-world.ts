import * as model from './lock-model.js';
import type { Claim, KeyModel, Tenure, Verdict } from './lock-model.js';

/** The process that takes several keys at once, by a LockService. */
export const SERVICE = 'S';

/** What a program asked for. */
export interface Asked extends Claim {
  /** Its process, by name. */
  readonly process: string;
  /** Its key, by number. */
  readonly key: number;
}

export type Terms = Pick<Claim, 'mode' | 'limit'>;

/** The model of all that a program deals with: some keys, some processes, and what they asked for. */
export class ModelWorld {
  readonly keys: KeyModel[] = [model.FREE, model.FREE, model.FREE];
  /** The processes that live; who crashed is replaced by another one. */
  readonly processes = ['A', 'B', 'C'];
  /** By their numbers. */
  readonly requests: Asked[] = [];
  /** Requests whose keys were taken together, until they are given back. */
  readonly bundles: (readonly Asked[])[] = [];
  #crashes = 0;

  ask(process: string, key: number, terms: Terms, queue: boolean): [Asked, Verdict] {
    const asked = { ...terms, n: this.requests.length, process, key };
    this.requests.push(asked);
    const [verdict, next] = model.ask(this.keys[key]!, asked, queue);
    this.keys[key] = next;
    return [asked, verdict];
  }

  /** All or nothing, at once. Where nothing, the answer is that of any key that is in the way. */
  askTogether(keys: readonly number[], terms: Terms): [readonly Asked[], readonly Verdict[]] {
    const before = [...this.keys];
    const answers = keys.map((key) => this.ask(SERVICE, key, terms, false));
    const all = answers.map(([asked]) => asked);
    const verdicts = answers.map(([, verdict]) => verdict);
    if (verdicts.every((verdict) => verdict === 'granted')) {
      this.bundles.push(all);
      return [all, ['granted']];
    }
    this.keys.splice(0, before.length, ...before);
    return [all, verdicts.filter((verdict) => verdict !== 'granted')];
  }

  holds({ n, key }: Asked): boolean {
    return model.holds(this.keys[key]!, n);
  }

  waits({ n, key }: Asked): boolean {
    return model.waits(this.keys[key]!, n);
  }

  /** How it is held by now: a downgrade changes that. */
  termsOf({ n, key, mode, limit }: Asked): Terms {
    const { holders } = this.keys[key]!;
    return { mode: holders.find((holder) => holder.n === n)?.mode ?? mode, limit };
  }

  leave({ n, key }: Asked): void {
    this.keys[key] = model.leave(this.keys[key]!, n);
  }

  alter({ n, key }: Asked, change: Partial<Tenure>): void {
    this.keys[key] = model.alter(this.keys[key]!, n, change);
  }

  forceRelease(key: number): void {
    this.keys[key] = model.forceRelease(this.keys[key]!);
  }

  /** @returns who replaces it */
  crash(process: string): string {
    const replacement = `${process.charAt(0)}${++this.#crashes + 1}`;
    this.processes[this.processes.indexOf(process)] = replacement;
    this.keys.forEach((key, index) => {
      this.keys[index] = model.abandon(key, ({ n }) => this.requests[n]!.process === process);
    });
    return replacement;
  }

  /** Those of processes that live. */
  living(which: (asked: Asked) => boolean): Asked[] {
    return this.requests.filter((asked) => this.processes.includes(asked.process) && which(asked));
  }
}
