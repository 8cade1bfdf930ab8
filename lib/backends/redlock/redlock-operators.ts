import type { KeyState, Revocation } from '../lock-backend.js';
import { insistFor } from '../redis-common/insist.js';
import { toBackendError } from '../redis-common/redis-errors.js';
import { failureOf, poll } from './poll.js';
import type { RedlockNode } from './redlock-node.js';
import { countOf, stateOf } from './verdicts.js';

export interface RedlockOperatorsContext {
  readonly processId: string;
  readonly nodes: readonly RedlockNode[];
  readonly quorum: number;
  /** How long a node may take for an answer, in milliseconds. */
  readonly patience: number;
  /** Before that nothing is asked of any node. */
  readonly opened: Promise<unknown>;
  /** Why a majority cannot be had now. */
  readonly trouble: () => Error | undefined;
  readonly isClosed: () => boolean;
}

/** What operators see and do at all nodes. */
export class RedlockOperators {
  #marks = 0;

  constructor(private readonly context: RedlockOperatorsContext) {}

  inspect(key: string): Promise<KeyState> {
    const { quorum } = this.context;
    return this.#patiently(async () => {
      return stateOf(await this.#ask((node) => node.operators.inspect(key)), quorum);
    });
  }

  /** What is held stands at a majority: so the names of any majority are enough. */
  async *list(pattern: string): AsyncGenerator<string, void, undefined> {
    const { nodes, opened, quorum } = this.context;
    await opened;
    const listed = new Set<string>();
    const failures: unknown[] = [];
    let read = 0;
    for (const node of nodes) {
      try {
        for await (const key of node.operators.keys(pattern)) {
          if (listed.has(key)) continue;
          listed.add(key);
          yield key;
        }
        if (++read === quorum) return;
      } catch (error) {
        failures.push(error);
      }
    }
    throw toBackendError(failures[0]);
  }

  revoke(key: string, revocation: Revocation): Promise<number> {
    const { nodes, quorum } = this.context;
    // Tried again, it is still the same message.
    const mark = this.#nextMark();
    return this.#patiently(async () => {
      const told = await this.#ask((node) => node.operators.revoke(key, mark, revocation));
      return countOf(told, nodes.length - told.length, quorum);
    });
  }

  async forceRelease(key: string): Promise<number> {
    const { nodes, quorum, trouble } = this.context;
    await this.#patiently(async () => {
      await this.context.opened;
      const reason = trouble();
      if (reason !== undefined) throw reason;
    });
    try {
      const mark = this.#nextMark();
      const ended = await this.#ask((node) => node.operators.forceRelease(key, mark));
      const whole = ended.filter(({ all }) => all);
      // A node that forgot cannot answer for what it had: it may be asserted there anew.
      if (whole.length < quorum) throw new Error('too few nodes know what they had');
      const ids = new Set(ended.flatMap((one) => one.ids));
      if (ended.some((one) => one.ids.length < ids.size)) {
        // A repair may be on its way to a node that lacked one.
        await this.#ask((node) => node.operators.forceRelease(key, mark, [...ids]));
      }
      return countOf(
        ended.map(({ ids }) => ids),
        nodes.length - whole.length,
        quorum,
      );
    } catch (error) {
      // It may have been done all the same, and by now the lock may be somebody else's: never twice.
      throw toBackendError(error);
    }
  }

  #nextMark(): string {
    return `${this.context.processId}:${++this.#marks}`;
  }

  /** The answers of all nodes if possible, as one may be behind; of a majority at least. */
  async #ask<T>(ask: (node: RedlockNode) => Promise<T>): Promise<readonly T[]> {
    const { nodes, opened, quorum } = this.context;
    await opened;
    const answers = await poll(nodes.map(ask), (replies, pending) => {
      if (pending > 0) return undefined;
      const heard = replies.flatMap((reply) =>
        reply?.error === undefined && reply ? [reply.value] : [],
      );
      return heard.length >= quorum ? heard : failureOf(replies);
    });
    if (answers instanceof Error) throw answers;
    return answers;
  }

  #patiently<T>(attempt: () => Promise<T>): Promise<T> {
    const { isClosed, patience, trouble } = this.context;
    return insistFor(4 * patience, attempt, isClosed, trouble);
  }
}
