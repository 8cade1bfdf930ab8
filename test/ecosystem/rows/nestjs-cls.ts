import { Injectable } from '@nestjs/common';
import { ClsModule, ClsService, UseCls } from 'nestjs-cls';
import { Locked } from 'nestjs-lock';
import assert from 'node:assert/strict';
import { row } from '../support/row.js';

await row({
  packages: ['nestjs-cls'],
  beside: '`@UseCls`',
  async run(scene) {
    let calls = 0;

    @Injectable()
    class Jobs {
      constructor(private readonly cls: ClsService) {}

      @scene.inOrder(Locked('job'), UseCls({ setup: (cls) => cls.set('call', ++calls) }))
      async run() {
        const call = this.cls.get<number>('call');
        await scene.body(undefined);
        return call === this.cls.get<number>('call') ? call : undefined;
      }
    }

    const app = await scene.http({ imports: [ClsModule.forRoot()], providers: [Jobs] });
    const answers = await scene.calls(() => app.get(Jobs).run());
    assert.deepEqual(answers, [1, 2, 3, 4], 'each call keeps a context of its own');
  },
});
