import { Injectable } from '@nestjs/common';
import * as Sentry from '@sentry/nestjs';
import { SentryModule } from '@sentry/nestjs/setup';
import { Locked } from 'nestjs-lock';
import assert from 'node:assert/strict';
import { row } from '../support/row.js';

await row({
  packages: ['@sentry/nestjs'],
  beside: '`@SentryTraced`',
  wraps: 'the span',
  note: 'its peers end at Nest 11: tried with an npm override',
  async run(scene) {
    const sent: unknown[] = [];
    Sentry.init({
      dsn: 'http://key@127.0.0.1:1/1',
      tracesSampleRate: 1,
      beforeSendTransaction(event) {
        sent.push(event.transaction);
        return null; // nothing leaves this process
      },
    });
    Sentry.getClient()?.on('spanEnd', () => {
      scene.end();
    });

    @Injectable()
    class Shop {
      @scene.inOrder(Locked('order:{0}'), Sentry.SentryTraced('shop'))
      async ship(_id: number) {
        const span = Sentry.getActiveSpan();
        await scene.body(undefined);
        return span !== undefined && span === Sentry.getActiveSpan();
      }
    }

    const app = await scene.http({ imports: [SentryModule.forRoot()], providers: [Shop] });
    const answers = await scene.calls(() => app.get(Shop).ship(7));
    await Sentry.flush();
    assert.deepEqual(answers, Array(4).fill(true), 'the body runs in the span');
    assert.deepEqual(sent, Array(4).fill('ship'));
  },
});
