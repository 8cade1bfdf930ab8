import { Controller } from '@nestjs/common';
import { ClientProxyFactory, MessagePattern, Payload, Transport } from '@nestjs/microservices';
import { Locked } from 'nestjs-lock';
import assert from 'node:assert/strict';
import { firstValueFrom } from 'rxjs';
import { freePort } from '../support/free-port.js';
import { row } from '../support/row.js';

await row({
  packages: ['@nestjs/microservices'],
  beside: '`@MessagePattern` (TCP)',
  async run(scene) {
    @Controller()
    class Orders {
      @scene.inOrder(Locked('order:{0.id}'), MessagePattern('ship'))
      async ship(@Payload() { id }: { id: number }) {
        return scene.body(`shipped ${id}`);
      }
    }

    const options = { host: '127.0.0.1', port: await freePort() };
    await scene.http({ controllers: [Orders] }, (app) => {
      app.connectMicroservice({ transport: Transport.TCP, options });
      return app.startAllMicroservices();
    });
    const client = ClientProxyFactory.create({ transport: Transport.TCP, options });
    scene.closeAtTheEnd(() => client.close());
    const answers = await scene.calls(() => firstValueFrom(client.send<string>('ship', { id: 7 })));
    assert.deepEqual(answers, Array(4).fill('shipped 7'));
  },
});
