import type { EtcdCalls } from './etcd-calls.js';

/** From these on, a lease that was revoked is never confirmed as renewed; by `major.minor`. */
const SOUND: Readonly<Record<string, number>> = { '3.4': 38, '3.5': 23, '3.6': 5 };

/** What about the version of the server would break our promises, with its mend. Never rejects. */
export async function checkVersion(calls: Pick<EtcdCalls, 'version'>): Promise<string[]> {
  const version = await calls.version().catch(() => undefined);
  if (version === undefined || isSound(version)) return [];
  return [
    `etcd ${version} may confirm the renewal of a lease that was revoked, so that a lock may be believed ` +
      'in that is gone: update it to 3.4.38, 3.5.23, 3.6.5 or newer.',
  ];
}

export function isSound(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  const least = SOUND[`${major}.${minor}`];
  if (least !== undefined) return patch >= least;
  return major > 3 || (major === 3 && minor > 6);
}
