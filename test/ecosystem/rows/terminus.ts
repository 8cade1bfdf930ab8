import { Controller, Get } from '@nestjs/common';
import { HealthCheck, HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { Locked } from 'nestjs-lock';
import assert from 'node:assert/strict';
import { row } from '../support/row.js';

await row({
  packages: ['@nestjs/terminus'],
  beside: '`@HealthCheck`',
  async run(scene) {
    @Controller()
    class Health {
      constructor(private readonly health: HealthCheckService) {}

      @Get('health')
      @scene.inOrder(Locked('health'), HealthCheck())
      async check() {
        return this.health.check([() => scene.body({ depot: { status: 'up' } } as const)]);
      }
    }

    const app = await scene.http({ imports: [TerminusModule], controllers: [Health] });
    const answers = await scene.calls(async () => {
      const reply = await fetch(`${await app.getUrl()}/health`);
      return [
        reply.headers.get('cache-control'),
        ((await reply.json()) as { status: string }).status,
      ];
    });
    const answer = ['no-cache, no-store, must-revalidate', 'ok'];
    assert.deepEqual(answers, Array(4).fill(answer));
  },
});
