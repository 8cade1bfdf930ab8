import { LockService, Locked } from 'nestjs-lock';
import { Command, CommandFactory, CommandRunner } from 'nest-commander';
import assert from 'node:assert/strict';
import { row } from '../support/row.js';

await row({
  packages: ['nest-commander'],
  beside: '`run` of a `@Command`',
  orders: ['above'],
  note: 'its own @golevelup/nestjs-discovery 7.0.3 asks for Nest 11: npm warns of it',
  async run(scene) {
    const ran: unknown[] = [];

    @Command({ name: 'ship', arguments: '<id>', options: { isDefault: true } })
    class Ship extends CommandRunner {
      constructor(private readonly locks: LockService) {
        super();
      }

      @Locked('order:{0.0}')
      async run([id]: string[]) {
        ran.push(await scene.body([id, this.locks.current()?.key]));
      }
    }

    const [node, program] = process.argv as [string, string];
    process.argv = [node, program, '7'];
    // A process runs one command; here, each call is an application of its own on the same locks.
    await scene.calls(() => CommandFactory.run(scene.module({ providers: [Ship] })));
    assert.deepEqual(ran, Array(4).fill(['7', 'order:7']));
  },
});
