import { MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { Locked } from 'nestjs-lock';
import assert from 'node:assert/strict';
import { io } from 'socket.io-client';
import { row } from '../support/row.js';

await row({
  packages: ['@nestjs/websockets', '@nestjs/platform-socket.io'],
  beside: '`@SubscribeMessage`',
  async run(scene) {
    @WebSocketGateway()
    class Orders {
      @scene.inOrder(Locked('order:{0}'), SubscribeMessage('ship'))
      async ship(@MessageBody() id: number) {
        return scene.body(`shipped ${id}`);
      }
    }

    const app = await scene.http({ providers: [Orders] });
    const client = io(await app.getUrl());
    scene.closeAtTheEnd(() => client.close());
    const answers = await scene.calls(() => client.emitWithAck('ship', 7));
    assert.deepEqual(answers, Array(4).fill('shipped 7'));
  },
});
