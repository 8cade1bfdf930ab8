import type { Address } from './node-redis-client.js';

/** Where to connect to instead of what servers say of each other, by `host:port`. */
export type AddressMap =
  Readonly<Record<string, Address>> | ((address: string) => Address | undefined);

export function mapped(address: Address, map: AddressMap | undefined): Address {
  const name = `${address.host}:${address.port}`;
  const other = typeof map === 'function' ? map(name) : map?.[name];
  return other ?? address;
}
