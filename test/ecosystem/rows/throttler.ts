import { Controller, Get, UseGuards } from '@nestjs/common';
import { Throttle, ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import { Locked } from 'nestjs-lock';
import assert from 'node:assert/strict';
import { get } from '../support/http.js';
import { row } from '../support/row.js';

await row({
  packages: ['@nestjs/throttler'],
  beside: '`@Throttle`',
  note: 'what the throttler refuses takes no lock',
  async run(scene) {
    @Controller()
    @UseGuards(ThrottlerGuard)
    class Shows {
      @Get('show')
      @scene.inOrder(Locked('show'), Throttle({ default: { limit: 4, ttl: 60_000 } }))
      async show() {
        return scene.body('show');
      }
    }

    const throttler = ThrottlerModule.forRoot([{ limit: 100, ttl: 60_000 }]);
    const app = await scene.http({ imports: [throttler], controllers: [Shows] });
    const answers = await scene.calls(() => get(app, '/show'));
    assert.deepEqual(answers, Array(4).fill({ status: 200, body: 'show' }));
    assert.equal((await get(app, '/show')).status, 429);
  },
});
