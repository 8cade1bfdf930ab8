import { Injectable } from '@nestjs/common';
import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { BasicTracerProvider, type SpanProcessor } from '@opentelemetry/sdk-trace-base';
import { Locked } from 'nestjs-lock';
import { OpenTelemetryModule, Span } from 'nestjs-otel';
import assert from 'node:assert/strict';
import { row } from '../support/row.js';

context.setGlobalContextManager(new AsyncLocalStorageContextManager());

await row({
  packages: ['nestjs-otel', '@opentelemetry/sdk-trace-base'],
  beside: '`@Span`',
  wraps: 'the span',
  note: 'asks for Node 22',
  async run(scene) {
    const ended: string[] = [];
    const processor: SpanProcessor = {
      onStart: () => undefined,
      onEnd: ({ name }) => {
        ended.push(name);
        scene.end();
      },
      forceFlush: () => Promise.resolve(),
      shutdown: () => Promise.resolve(),
    };
    trace.disable();
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [processor] }));

    @Injectable()
    class Shop {
      @scene.inOrder(Locked('order:{0}'), Span('ship'))
      async ship(_id: number) {
        const span = trace.getActiveSpan();
        await scene.body(undefined);
        return span !== undefined && span === trace.getActiveSpan();
      }
    }

    const app = await scene.http({ imports: [OpenTelemetryModule.forRoot()], providers: [Shop] });
    const answers = await scene.calls(() => app.get(Shop).ship(7));
    assert.deepEqual(answers, Array(4).fill(true), 'the body runs in the span');
    assert.deepEqual(ended, Array(4).fill('ship'));
  },
});
