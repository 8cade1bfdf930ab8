import { LockConfigurationError } from '../../errors/index.js';
import { shownAddress } from '../../text/shown.js';
import { foreignClient } from './foreign-clients.js';
import { unwelcomeParameters, type DuplicableRedisClient } from './ioredis-client.js';

export function checkUrl(url: unknown): asserts url is string {
  if (typeof url !== 'string' || !/^rediss?:\/\//.test(url) || !URL.canParse(url)) {
    throw new LockConfigurationError(
      `url must be a redis:// or rediss:// URL, got ${shownAddress(url)}`,
    );
  }
  const [parameter] = unwelcomeParameters(url);
  if (parameter !== undefined) {
    throw new LockConfigurationError(`url must not set ${parameter}, got ${shownAddress(url)}`);
  }
}

export function checkClient(client: unknown): void {
  const foreign = typeof client === 'object' && client !== null && foreignClient(client);
  if (foreign) throw new LockConfigurationError(`client must be an ioredis client, got ${foreign}`);
  const { duplicate, options } = (client ?? {}) as Partial<DuplicableRedisClient>;
  if (typeof duplicate !== 'function' || typeof options !== 'object') {
    throw new LockConfigurationError(
      `client must be an ioredis client, got ${shownAddress(client)}`,
    );
  }
}

export function checkCredentials(credentials: unknown): void {
  if (credentials === undefined || typeof credentials === 'function') return;
  throw new LockConfigurationError(
    `credentials must be a function that gives them, got a ${typeof credentials}`,
  );
}
