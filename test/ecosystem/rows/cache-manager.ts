import { CacheInterceptor, CacheModule } from '@nestjs/cache-manager';
import { Controller, Get, Param, UseInterceptors } from '@nestjs/common';
import { Locked } from 'nestjs-lock';
import assert from 'node:assert/strict';
import { get } from '../support/http.js';
import { row } from '../support/row.js';

await row({
  packages: ['@nestjs/cache-manager', 'cache-manager'],
  beside: '`@UseInterceptors(CacheInterceptor)`',
  note: 'an answer from the cache takes no lock',
  async run(scene) {
    let runs = 0;

    @Controller('shows')
    class Shows {
      @Get(':id')
      @scene.inOrder(Locked('show'), UseInterceptors(CacheInterceptor))
      async show(@Param('id') id: string) {
        runs++;
        return scene.body(`show ${id}`);
      }
    }

    const app = await scene.http({ imports: [CacheModule.register()], controllers: [Shows] });
    let shows = 0;
    await scene.calls(() => get(app, `/shows/${shows++}`));
    assert.deepEqual(await get(app, '/shows/1'), { status: 200, body: 'show 1' });
    assert.equal(runs, 4, 'the second request for a show is answered by the cache');
  },
});
