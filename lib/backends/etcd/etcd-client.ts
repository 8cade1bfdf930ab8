import { wallTimeIn } from '../../time/clock.js';
import { Etcd3, type IOptions } from 'etcd3';
import { HostChoice } from './host-choice.js';

/** Where etcd is. */
export type EtcdTarget =
  | ({ readonly hosts: string | string[] } & Pick<IOptions, 'credentials' | 'auth' | 'grpcOptions'>)
  | { readonly client: Etcd3 };

/** A client, and how we are done with it. */
export interface EtcdClient {
  readonly etcd: Etcd3;
  /** How many other hosts there are to ask when one cannot be reached; 0 where the user's client sees to that. */
  readonly otherHosts: number;
  close(): void;
}

/** A server refuses connections that ask more often than every 5 s whether it is there. */
const CHANNEL = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
};

/** The shortest interval at which a connection may ask, in milliseconds. */
export const LEAST_KEEPALIVE = 10_000;

/**
 * A client of our own, which connects when it is used; or the user's, which stays open at the end.
 * @param patience how long a login may take, in milliseconds
 */
export function openClient(target: EtcdTarget, patience: number): EtcdClient {
  if ('client' in target) {
    return { etcd: target.client, otherHosts: 0, close: () => undefined };
  }
  const { grpcOptions, ...where } = target;
  const hosts = [target.hosts].flat();
  const choice = new HostChoice(hosts);
  const etcd = new Etcd3({
    ...where,
    hosts,
    grpcOptions: { ...CHANNEL, ...grpcOptions },
    // All other calls bring their own. See etcd-calls.ts on the wall clock.
    defaultCallOptions: () => ({ deadline: wallTimeIn(patience) }),
    // Whether and when to ask again is for those to decide who know what a request means.
    faultHandling: { host: (host) => choice.policyOf(host), global: choice.noPolicy },
  });
  return {
    etcd,
    otherHosts: hosts.length - 1,
    close: () => {
      etcd.close();
    },
  };
}
