import { CommandBus, CommandHandler, CqrsModule } from '@nestjs/cqrs';
import { Locked } from 'nestjs-lock';
import assert from 'node:assert/strict';
import { row } from '../support/row.js';

class Ship {
  constructor(readonly id: number) {}
}

await row({
  packages: ['@nestjs/cqrs'],
  beside: '`execute` of a `@CommandHandler`',
  orders: ['above'],
  async run(scene) {
    @CommandHandler(Ship)
    class ShipHandler {
      @Locked('order:{0.id}')
      async execute({ id }: Ship) {
        return scene.body(`shipped ${id}`);
      }
    }

    const app = await scene.http({ imports: [CqrsModule.forRoot()], providers: [ShipHandler] });
    const bus = app.get(CommandBus);
    const answers = await scene.calls(() => bus.execute<Ship, string>(new Ship(7)));
    assert.deepEqual(answers, Array(4).fill('shipped 7'));
  },
});
