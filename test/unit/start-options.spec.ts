import { LockConfigurationError, LockModule, LockService } from 'nestjs-lock';
import { RedisBackend } from 'nestjs-lock/redis';
import { compile } from '../support/nest-application.js';

describe('what would break a promise is refused at the start', () => {
  // With ioredis a URL wins over the options beside it.
  it.each([
    ['enableOfflineQueue=true', 'enableOfflineQueue'],
    ['keyPrefix=app:', 'keyPrefix'],
    ['family=4&keyPrefix=app:', 'keyPrefix'],
    ['%6BeyPrefix=app:', 'keyPrefix'],
    ['keyPrefix', 'keyPrefix'],
    ['stringNumbers=true', 'stringNumbers'],
    ['autoResendUnfulfilledCommands=true', 'autoResendUnfulfilledCommands'],
    ['maxRetriesPerRequest=20', 'maxRetriesPerRequest'],
    ['enableAutoPipelining=true', 'enableAutoPipelining'],
    ['reconnectOnError=1', 'reconnectOnError'],
  ])('a URL with ?%s, and its password is not told', (query, parameter) => {
    const make = () => new RedisBackend({ url: `redis://user:hunter2@localhost/0?${query}` });
    expect(make).toThrow(LockConfigurationError);
    expect(make).toThrow(`url must not set ${parameter}`);
    expect(make).not.toThrow('hunter2');
  });

  it('not so a URL with other parameters', () => {
    expect(() => new RedisBackend({ url: 'redis://localhost/0?family=4' })).not.toThrow();
  });

  it('an array instead of the options of the module', () => {
    expect(() => LockModule.forRoot([] as object)).toThrow(LockConfigurationError);
    expect(() => LockModule.forRoot([] as object)).toThrow('options must be an object, got []');
  });

  it.each([
    ['one', AbortSignal.abort()],
    ['undefined', undefined],
  ])('a signal for all calls of the module: %s', async (_, signal) => {
    const options: object = { signal };
    expect(() => new LockService(options)).toThrow(LockConfigurationError);
    expect(() => new LockService(options)).toThrow(/signal.*single calls/);
    for (const module of [
      LockModule.forRoot(options),
      LockModule.forRootAsync({ useFactory: () => options }),
    ]) {
      await expect(compile({ imports: [module] })).rejects.toThrow(/signal.*single calls/);
    }
  });
});
