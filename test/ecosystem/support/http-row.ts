import { Controller, Get, type NestInterceptor, Param, UseInterceptors } from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { Locked } from 'nestjs-lock';
import assert from 'node:assert/strict';
import { map } from 'rxjs';
import { get } from './http.js';
import { row } from './row.js';

class Envelope implements NestInterceptor {
  intercept(...[, next]: Parameters<NestInterceptor['intercept']>) {
    return next.handle().pipe(map((data: unknown) => ({ data })));
  }
}

/** The row of an HTTP server: a handler with an interceptor and a parameter. */
export function httpRow(name: string, adapter: () => AbstractHttpAdapter): Promise<void> {
  return row({
    packages: [name],
    beside: '`@Get`',
    async run(scene) {
      @Controller('shows')
      class Shows {
        @UseInterceptors(Envelope)
        @scene.inOrder(Locked('show:{0}'), Get(':id'))
        async show(@Param('id') id: string) {
          return scene.body(`show ${id}`);
        }
      }

      const app = await scene.http({ controllers: [Shows] }, undefined, adapter());
      const answers = await scene.calls(() => get(app, '/shows/hamlet'));
      assert.deepEqual(answers, Array(4).fill({ status: 200, body: { data: 'show hamlet' } }));
    },
  });
}
