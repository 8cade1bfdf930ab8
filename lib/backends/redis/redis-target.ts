import { LockConfigurationError } from '../../errors/index.js';
import { shown, shownAddress, shownOption } from '../../text/shown.js';
import { checkIsOptions } from '../../options/option-checks.js';
import type { RedisTarget } from '../redis-common/ioredis-client.js';
import { checkClient, checkUrl } from '../redis-common/target-checks.js';

/** How each way to say where the server is, is checked. */
const WAYS: Readonly<Record<string, (value: unknown) => void>> = {
  url: checkUrl,
  options: checkIsOptions,
  client: checkClient,
  cluster: checkCluster,
};

export function readTarget(given: Record<string, unknown>): RedisTarget {
  const named = Object.entries(given).filter(([, value]) => value !== undefined);
  for (const [option, value] of named) {
    if (Object.hasOwn(WAYS, option)) continue;
    throw new LockConfigurationError(
      `unknown option ${shown(option)} of RedisBackend, got ${shownOption(option, value)}`,
    );
  }
  const [way, another] = named;
  if (way === undefined || another !== undefined) {
    throw new LockConfigurationError(
      `RedisBackend needs exactly one of url, options, client and cluster, got ${shown(named.map(([option]) => option))}`,
    );
  }
  const [option, value] = way;
  WAYS[option]?.(value);
  return Object.fromEntries([way]) as RedisTarget;
}

function checkCluster(given: unknown): void {
  const nodes: unknown[] = Array.isArray(given) ? given : [];
  if (nodes.length === 0) {
    throw new LockConfigurationError(`cluster must be a list of URLs, got ${shownAddress(given)}`);
  }
  for (const node of nodes) {
    checkUrl(node);
    const { pathname } = new URL(node);
    if (!/^\/?0?$/.test(pathname)) {
      throw new LockConfigurationError(
        `cluster must not name a database, as a Cluster has only database 0, got ${shownAddress(pathname)}`,
      );
    }
  }
}
