import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  getLockServiceToken,
  LeaderOnly,
  LockConfigurationError,
  LockModule,
  LockNotWiredError,
  LockService,
  MemoryBackend,
} from 'nestjs-lock';
import { eventually } from '../support/eventually.js';
import { start } from '../support/nest-application.js';

@Injectable()
class Reports {
  @LeaderOnly('reports')
  async send(to: string): Promise<string> {
    return `sent to ${to}`;
  }
}

async function applications(count: number) {
  const backend = new MemoryBackend();
  return Promise.all(
    Array.from({ length: count }, () =>
      start({ imports: [LockModule.forRoot({ backend })], providers: [Reports] }),
    ),
  );
}

it('runs in the one application that leads, from its start on, and is skipped in the others', async () => {
  const apps = await applications(3);
  const leads = () => apps.map((app) => app.get(LockService).leader('reports').isLeader);
  await eventually('one leads', () => leads().includes(true));

  const answers = await Promise.all(apps.map((app) => app.get(Reports).send('you')));
  expect(answers).toEqual(leads().map((leader) => (leader ? 'sent to you' : undefined)));
  expect(leads().filter(Boolean)).toHaveLength(1);
});

it('runs in another application when the one that led has closed', async () => {
  const apps = await applications(2);
  const leaders = () => apps.filter((app) => app.get(LockService).leader('reports').isLeader);
  await eventually('one leads', () => leaders().length === 1);
  const [first] = leaders();
  const other = apps.find((app) => app !== first)!;

  await first!.close();

  await eventually('the other leads', () => other.get(LockService).leader('reports').isLeader);
  await expect(other.get(Reports).send('you')).resolves.toBe('sent to you');
});

it('never runs without a LockModule', async () => {
  await expect(new Reports().send('you')).rejects.toThrow(LockNotWiredError);
});

it('stands for the leadership of a named instance', async () => {
  @Injectable()
  class Bills {
    @LeaderOnly('bills', { name: 'billing', ttl: '3s' })
    async send(): Promise<string> {
      return 'sent';
    }
  }
  const app = await start({
    imports: [LockModule.forRoot({ name: 'billing' })],
    providers: [Bills],
  });
  const locks = app.get<LockService>(getLockServiceToken('billing'));
  await eventually('it leads', () => locks.leader('bills', { ttl: '3s' }).isLeader);
  await expect(app.get(Bills).send()).resolves.toBe('sent');
});

it('stops the application when two methods want different terms', async () => {
  @Injectable()
  class Divided {
    @LeaderOnly('reports', { ttl: '3s' })
    async one(): Promise<void> {}

    @LeaderOnly('reports', { ttl: '4s' })
    async other(): Promise<void> {}
  }
  const module = await Test.createTestingModule({
    imports: [LockModule.forRoot()],
    providers: [Divided],
  }).compile();
  await expect(module.init()).rejects.toThrow(
    'the leadership "reports" has a ttl of 3000 ms already, got 4000',
  );
  await module.get(LockService).close();
});

it.each([
  [() => LeaderOnly(''), 'key must not be empty'],
  [() => LeaderOnly('reports:{0}'), '{0} in key template'],
  [
    () => LeaderOnly((() => 'reports') as unknown as string),
    'key of a leadership must be a string',
  ],
  [
    () => LeaderOnly('reports', { wait: 5 } as object),
    "unknown option 'wait' of a leadership, got 5",
  ],
])('refuses at the class definition what makes no leadership (%#)', (decorator, message) => {
  const define = () => {
    class Refused {
      @decorator()
      async run(): Promise<void> {}
    }
    return Refused;
  };
  expect(define).toThrow(message);
});

it('refuses a method that returns no promise', async () => {
  class Sync {
    @LeaderOnly('sync')
    run(): Promise<string> {
      return 'at once' as unknown as Promise<string>;
    }
  }
  const locks = new LockService();
  const instance = locks.attach(new Sync());
  const leadership = locks.leader('sync');
  await eventually('it leads', () => leadership.isLeader);
  await expect(instance.run()).rejects.toThrow(LockConfigurationError);
  await locks.close();
});
