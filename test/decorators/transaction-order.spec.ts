import { Injectable, type Provider } from '@nestjs/common';
import { LeaderOnly, Locked, LockModule, LockService } from 'nestjs-lock';
import { eventually } from '../support/eventually.js';
import { Journal, lockedOnce } from '../support/journal.js';
import { Log, start } from '../support/nest-application.js';

const journal = new Journal();
const locks = LockModule.forRoot({ backend: journal });

beforeEach(() => {
  journal.clear();
});

type Body = (this: unknown, ...args: unknown[]) => Promise<unknown>;

async function transaction(body: () => Promise<unknown>): Promise<unknown> {
  const result = await body();
  journal.note('stock', 'commit');
  return result;
}

/* How the packages make their wrappers, with the words of theirs by which they are known. */

function TypeOrmTransactional(): MethodDecorator {
  return (_target, _name, descriptor) => {
    const original = descriptor.value as Body;
    let context: object | undefined = {};
    function wrapper(this: unknown, ...args: unknown[]) {
      if (!context) {
        throw new Error(
          'No CLS namespace defined in your app ... please call initializeTransactionalContext() before application start.',
        );
      }
      return transaction(() => original.apply(this, args));
    }
    context = {};
    copyMetadata(original, wrapper);
    descriptor.value = wrapper as never;
  };
}

function MikroOrmTransactional(): MethodDecorator {
  return (_target, _name, descriptor) => {
    const original = descriptor.value as Body;
    if (original.constructor.name !== 'AsyncFunction') {
      throw new Error('@Transactional() should be use with async functions');
    }
    let em: object | undefined = {};
    descriptor.value = async function (this: unknown, ...args: unknown[]) {
      if (!em) {
        throw new Error(
          `@Transactional() decorator can only be applied to methods of classes with \`orm: MikroORM\` property`,
        );
      }
      return transaction(() => original.apply(this, args));
    } as never;
    em = {};
  };
}

function ClsTransactional(): MethodDecorator {
  return (_target, _name, descriptor) => {
    const original = descriptor.value as Body;
    const apply = (_: Body, self: unknown, args: unknown[]) =>
      transaction(() => original.apply(self, args));
    const proxy = new Proxy(original, { apply });
    copyMetadata(original, proxy);
    descriptor.value = proxy as never;
  };
}
class TransactionHost {}

function copyMetadata(from: object, to: object): void {
  for (const key of Reflect.getMetadataKeys(from)) {
    Reflect.defineMetadata(key, Reflect.getMetadata(key, from), to);
  }
}

function shops(Transactional: () => MethodDecorator) {
  @Injectable()
  class Above {
    @Locked('stock')
    @Transactional()
    async sell() {
      return journal.body('stock', 'sold');
    }
  }
  @Injectable()
  class Below {
    @Transactional()
    @Locked('stock')
    async sell() {
      return journal.body('stock', 'sold');
    }
  }
  return { Above, Below };
}

const packages: [string, () => MethodDecorator, Provider[]][] = [
  ['typeorm-transactional', TypeOrmTransactional, []],
  ['MikroORM', MikroOrmTransactional, []],
  ['@nestjs-cls/transactional', ClsTransactional, [TransactionHost]],
];

describe.each(packages)('@Transactional() of %s', (made, Transactional, providers) => {
  it('below @Locked commits under the lock, and nothing is said', async () => {
    const log = new Log();
    const { Above } = shops(Transactional);
    const app = await start({ imports: [locks], providers: [...providers, Above] }, { log });
    await expect(app.get(Above).sell()).resolves.toBe('sold');
    expect(journal.of('stock')).toEqual(['granted', 'enter', 'leave', 'commit', 'released']);
    expect(log.warnings).toEqual([]);
  });

  it('above @Locked commits after it, of which the start warns once', async () => {
    const log = new Log();
    const { Below } = shops(Transactional);
    class Derived extends Below {}
    const app = await start(
      { imports: [locks], providers: [...providers, Below, Derived] },
      { log },
    );
    await expect(app.get(Derived).sell()).resolves.toBe('sold');
    expect(journal.of('stock')).toEqual([...lockedOnce(), 'commit']);
    expect(log.warnings).toEqual([
      `@Transactional() of ${made} runs around Below.sell, whose lock is given back before it commits: ` +
        'put @Locked above it.',
    ]);
  });
});

it('of a Proxy nothing is said where @nestjs-cls/transactional is not used', async () => {
  const log = new Log();
  await start({ imports: [locks], providers: [shops(ClsTransactional).Below] }, { log });
  expect(log.warnings).toEqual([]);
});

describe('a decorator above that keeps no metadata', () => {
  class Made {
    @MikroOrmTransactional()
    @Locked('made')
    async run() {
      return journal.body('made', 'ran');
    }

    @MikroOrmTransactional()
    @LeaderOnly('led')
    async lead() {
      return journal.body('led', 'ran');
    }
  }

  it('does not hide the method: what a factory made is locked, and stands as leader', async () => {
    const app = await start({
      imports: [locks],
      providers: [{ provide: 'made', useFactory: () => new Made() }],
    });
    await expect(app.get<Made>('made').run()).resolves.toBe('ran');
    expect(journal.of('made')).toEqual(lockedOnce());
    const leadership = app.get(LockService).leader('led');
    await eventually('it leads', () => leadership.isLeader);
    await expect(app.get<Made>('made').lead()).resolves.toBe('ran');
  });
});
