import { once } from 'node:events';
import { ConflictException, UseFilters } from '@nestjs/common';
import { WsAdapter } from '@nestjs/platform-ws';
import { MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { LockBusyFilter, Locked, LockModule, LockService, LockShutdownError } from 'nestjs-lock';
import { WebSocket } from 'ws';
import { Journal, lockedOnce } from '../support/journal.js';
import { closeAfterTest, startHttp } from '../support/nest-application.js';

const journal = new Journal();
const locks = LockModule.forRoot({ backend: journal });

@WebSocketGateway({ path: '/rooms' })
class Rooms {
  @SubscribeMessage('join')
  @Locked('room:{0}')
  async join(@MessageBody() room: string) {
    return journal.body(`room:${room}`, { event: 'joined', data: room });
  }

  @UseFilters(LockBusyFilter)
  @SubscribeMessage('busy')
  @Locked('busy', { wait: 0 })
  async busy(@MessageBody() _data: unknown) {
    return journal.body('busy', { event: 'entered', data: 1 });
  }

  @UseFilters(LockBusyFilter)
  @SubscribeMessage('closing')
  async closing() {
    throw new LockShutdownError('k');
  }

  @SubscribeMessage('unfiltered')
  @Locked('busy', { wait: 0 })
  async unfiltered(@MessageBody() _data: unknown) {
    return journal.body('busy', { event: 'entered', data: 1 });
  }
}

interface Message {
  event: string;
  data: unknown;
}

async function gateway() {
  const app = await startHttp({ imports: [locks], providers: [Rooms] }, (it) =>
    it.useWebSocketAdapter(new WsAdapter(it)),
  );
  const socket = new WebSocket(`${(await app.getUrl()).replace('http', 'ws')}/rooms`);
  closeAfterTest({
    close: async () => {
      socket.terminate();
    },
  });
  await once(socket, 'open');
  const ask = async (event: string, data: unknown = 1) => {
    const heard = once(socket, 'message', { signal: AbortSignal.timeout(2_000) });
    socket.send(JSON.stringify({ event, data }));
    return JSON.parse(String((await heard)[0])) as Message;
  };
  return { app, ask };
}

beforeEach(() => {
  journal.clear();
});

it('locks each message once', async () => {
  const { ask } = await gateway();
  await expect(ask('join', 'a')).resolves.toEqual({ event: 'joined', data: 'a' });
  expect(journal.of('room:a')).toEqual(lockedOnce());
});

describe('LockBusyFilter', () => {
  const told = (pattern: string) => ({
    event: 'exception',
    data: { status: 'error', message: 'Internal server error', cause: { pattern, data: 1 } },
  });

  it('tells the client as Nest does, who can go on with its connection', async () => {
    const { app, ask } = await gateway();
    const lock = await app.get(LockService).acquire('busy');
    await expect(ask('busy')).resolves.toEqual(told('busy'));
    await lock.release();
    await expect(ask('busy')).resolves.toEqual({ event: 'entered', data: 1 });
    await expect(ask('closing')).resolves.toEqual(told('closing'));
  });

  it('tells what the client hears without it', async () => {
    const { app, ask } = await gateway();
    await using lock = await app.get(LockService).acquire('busy');
    // Nest 11 itself does not reach the clients of `ws`.
    const isNest11 = !('errorCode' in new ConflictException());
    await expect(ask('unfiltered').catch(() => undefined)).resolves.toEqual(
      isNest11 ? undefined : told('unfiltered'),
    );
    expect(lock.held).toBe(true);
  });
});
