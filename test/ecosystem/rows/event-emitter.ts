import { Injectable } from '@nestjs/common';
import { EventEmitter2, EventEmitterModule, OnEvent } from '@nestjs/event-emitter';
import { Locked } from 'nestjs-lock';
import assert from 'node:assert/strict';
import { row } from '../support/row.js';

await row({
  packages: ['@nestjs/event-emitter'],
  beside: '`@OnEvent`',
  async run(scene) {
    @Injectable()
    class Mails {
      @scene.inOrder(Locked('order:{0.id}'), OnEvent('order.paid'))
      async onPaid({ id }: { id: number }) {
        return scene.body(`mail for ${id}`);
      }
    }

    const app = await scene.http({ imports: [EventEmitterModule.forRoot()], providers: [Mails] });
    const emitter = app.get(EventEmitter2);
    const answers = await scene.calls(() => emitter.emitAsync('order.paid', { id: 7 }));
    assert.deepEqual(answers, Array(4).fill(['mail for 7']));
  },
});
