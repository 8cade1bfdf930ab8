import { type Etcd3, GRPCUnavailableError } from 'etcd3';
import type { IResponseHeader, ITxnRequest, ITxnResponse } from 'etcd3';

/** A transaction on its way to the server. */
export interface CarriedTxn {
  readonly request: ITxnRequest;
  /** Lets it arrive there, now or later, once or often; resolves with the reply. */
  readonly send: () => Promise<ITxnResponse>;
}

const straight = ({ send }: CarriedTxn): Promise<ITxnResponse> => send();

/**
 * Carries the transactions of a client to the server when a test wants it to, so that late ones are
 * late by the order of events and not by the clock; and keeps from it what is told on watches.
 */
export class EtcdCourier {
  /** What is done with each transaction; resolves or rejects for who asked. */
  carry = straight;
  /** Whether deletions are told. */
  tells = true;
  /** What comes before a stream of watches is opened. */
  beforeWatch = (): Promise<void> => Promise.resolve();
  /** The term that the answer to a keepalive is from, as it is told. */
  term = (actual: string): string => actual;

  constructor(client: Etcd3) {
    const { kv, leaseClient, watchClient } = client;
    const txn = kv.txn.bind(kv);
    kv.txn = (request, options) => {
      // The time limit is for who asked; a late one is carried without.
      const late = { ...options, deadline: Infinity };
      return this.carry({ request, send: () => txn(request, late) });
    };
    const watch = watchClient.watch.bind(watchClient);
    watchClient.watch = async (options) => {
      await this.beforeWatch();
      return listening(await watch(options), (response: { events: unknown[] }) => {
        return this.tells || response.events.length === 0;
      });
    };
    const keepAlive = leaseClient.leaseKeepAlive.bind(leaseClient);
    leaseClient.leaseKeepAlive = async (options) =>
      listening(await keepAlive(options), ({ header }: { header: IResponseHeader }) => {
        header.raft_term = this.term(header.raft_term);
        return true;
      });
  }

  /**
   * The reply to the next transaction that would do this never comes. Resolves to what lets it arrive
   * at the server after all.
   */
  stray(does: (request: ITxnRequest) => boolean): Promise<() => Promise<ITxnResponse>> {
    return new Promise((resolve) => {
      this.carry = (carried) => {
        if (!does(carried.request)) return carried.send();
        this.carry = straight;
        resolve(carried.send);
        return Promise.reject(new GRPCUnavailableError('the connection broke'));
      };
    });
  }
}

type Listener = (value: never) => void;

/** The stream, of which only that is heard which `hears` is told of and says so. */
function listening<S extends { on: unknown }>(stream: S, hears: (response: never) => boolean): S {
  const on = (stream.on as (event: string, listener: Listener) => S).bind(stream);
  return Object.assign(stream, {
    on: (event: string, listener: Listener) =>
      on(event, (value) => {
        if (event !== 'data' || hears(value)) listener(value);
      }),
  });
}

/** Whether it takes a lock, or joins its queue. */
export function acquires({ success }: ITxnRequest): boolean {
  return success?.[0]?.request_put !== undefined;
}

/** Whether it gives a lock back, or leaves a queue. */
export function withdraws({ success }: ITxnRequest): boolean {
  return success?.[0]?.request_delete_range !== undefined;
}
