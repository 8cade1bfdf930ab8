import { EventEmitter } from 'node:events';
import { jest } from '@jest/globals';
import type { Etcd3, IWatchResponse } from 'etcd3';
import { EtcdCalls } from '../../lib/backends/etcd/etcd-calls.js';
import { EtcdReview } from '../../lib/backends/etcd/etcd-review.js';
import type { Obstacle } from '../../lib/backends/etcd/obstacle.js';
import { type Change, EtcdWatch } from '../../lib/backends/etcd/etcd-watch.js';
import { isSound } from '../../lib/backends/etcd/server-version.js';
import { eventually } from '../support/eventually.js';
import { pending } from '../support/scripted-backend.js';

interface Asked {
  readonly create_request?: { readonly watch_id: string; readonly key: Buffer };
  readonly cancel_request?: { readonly watch_id: string };
}

/** What a server would send on it, a test says. */
class Stream extends EventEmitter {
  readonly asked: Asked[] = [];
  cancelled = false;

  write(asked: Asked): void {
    this.asked.push(asked);
  }

  end(): void {
    // What is asked has been asked.
  }

  cancel(): void {
    this.cancelled = true;
  }

  /** In the order in which they were asked for. */
  get ids(): string[] {
    return this.asked.flatMap(({ create_request: create }) => create?.watch_id ?? []);
  }

  tell(response: Partial<Omit<IWatchResponse, 'header'>>, revision = '5'): void {
    const nothing = { created: false, canceled: false, compact_revision: '0', events: [] };
    this.emit('data', { header: { revision }, ...nothing, ...response });
  }

  tellOf(watch_id: string, key: string): void {
    const kv = { key: Buffer.from(key), create_revision: '1', mod_revision: '2' };
    this.tell({ watch_id, events: [{ type: 'Delete', kv }] as IWatchResponse['events'] });
  }
}

let streams: Stream[];
let watch: EtcdWatch;
let heard: [key: string, change: string][];

/** Listens to the deletion of a key, of which everything up to revision 5 is known. */
function listen(key: string, end?: string) {
  const tell = (change: Change) => {
    heard.push([key, typeof change === 'string' ? change : change.kv.key.toString()]);
  };
  const until = end === undefined ? undefined : Buffer.from(end);
  return watch.watch({ key: Buffer.from(key), end: until, puts: false }, '5', tell);
}

function callsOn(
  client: object,
  { patience = 1_000, warn }: { patience?: number; warn?: (message: string) => void } = {},
): EtcdCalls {
  return new EtcdCalls(client as Etcd3, 0, patience, warn ?? (() => undefined));
}

beforeEach(() => {
  [streams, heard] = [[], []];
  const open = () => {
    streams.push(new Stream());
    return Promise.resolve(streams.at(-1));
  };
  watch = new EtcdWatch(callsOn({ watchClient: { watch: open } }));
});

afterEach(() => {
  watch.close();
});

/** The last stream, when so many were opened. */
async function opened(count: number): Promise<Stream> {
  await eventually('a stream', () => streams.length === count);
  await eventually('its watches', () => streams.at(-1)!.asked.length > 0);
  return streams.at(-1)!;
}

describe('a stream of watches', () => {
  it('tells of a key whoever watches it, under the ids that were asked for', async () => {
    listen('a');
    listen('b');
    const stream = await opened(1);
    const [a, b] = stream.ids;
    for (const id of [a!, b!]) stream.tell({ watch_id: id, created: true });
    stream.tellOf(b!, 'b');
    expect(heard).toEqual([['b', 'b']]);
  });

  it('never tells of another key, whatever the id', async () => {
    listen('a');
    const stream = await opened(1);
    stream.tellOf(stream.ids[0]!, 'b');
    expect(heard).toEqual([]);
  });

  it('that was renamed tells by the key, and says of all when they have begun', async () => {
    const [a, b] = [listen('a'), listen('b', 'c')];
    const stream = await opened(1);
    stream.tell({ watch_id: '1', created: true }, '6');
    expect(heard).toEqual([]);
    stream.tell({ watch_id: '0', created: true }, '6');
    await Promise.all([a.begun, b.begun]);
    expect(heard.splice(0)).toEqual([
      ['a', 'missed'],
      ['b', 'missed'],
    ]);

    stream.tellOf('1', 'a');
    stream.tellOf('0', 'b/1');
    expect(heard).toEqual([
      ['a', 'a'],
      ['b', 'b/1'],
    ]);
  });

  it('that begins at a revision before what was seen says so: etcd may have lost its data', async () => {
    listen('a');
    const stream = await opened(1);
    stream.tell({ watch_id: stream.ids[0]!, created: true }, '3');
    expect(heard).toEqual([['a', 'missed']]);
  });

  it('on which a watch is refused after all others began is opened anew at once', async () => {
    const random = jest.spyOn(Math, 'random').mockReturnValue(1);
    listen('a');
    const stream = await opened(1);
    stream.tell({ watch_id: stream.ids[0]!, created: true });
    listen('b');
    stream.tell({ watch_id: '-1', created: true, canceled: true });
    await new Promise(setImmediate);
    expect(streams).toHaveLength(2);
    // What is refused from the beginning is so again at once: the next one takes its time.
    streams[1]!.tell({ watch_id: '-1', created: true, canceled: true });
    await new Promise(setImmediate);
    expect(streams).toHaveLength(2);
    random.mockRestore();
  });

  it('that was renamed is not asked to call off what has another id there, and made anew in the end', async () => {
    listen('a');
    const stream = await opened(1);
    stream.tell({ watch_id: '0', created: true });
    for (let turn = 0; turn <= 100; turn++) listen('b').end();
    expect(stream.asked.filter(({ cancel_request: cancel }) => cancel)).toEqual([]);
    expect((await opened(2)).ids).toHaveLength(1);
    expect(stream.cancelled).toBe(true);
  });

  it('goes on when one of its watches was called off', async () => {
    listen('a');
    const other = listen('b');
    const stream = await opened(1);
    const [a, b] = stream.ids;
    for (const id of [a!, b!]) stream.tell({ watch_id: id, created: true });
    other.end();
    stream.tell({ watch_id: b!, canceled: true });
    expect(stream.cancelled).toBe(false);
    stream.tellOf(a!, 'a');
    expect(heard).toEqual([['a', 'a']]);
  });

  it.each(['-1', 'its own'])('that is refused under the id %s is opened anew', async (id) => {
    const { begun } = listen('a');
    const stream = await opened(1);
    const watch_id = id === '-1' ? id : stream.ids[0]!;
    stream.tell({ watch_id, created: true, canceled: true });
    const next = await opened(2);
    next.tell({ watch_id: next.ids[0]!, created: true });
    await begun;
    expect(stream.cancelled).toBe(true);
  });

  it('that opens when nobody waits for it any more is ended', async () => {
    const opening = pending<Stream>();
    const calls = callsOn({ watchClient: { watch: () => opening.promise } }, { patience: 1 });
    await expect(calls.openWatch()).rejects.toThrow('no answer within 1 ms');
    const late = new Stream();
    opening.resolve(late);
    await eventually('it is ended', () => late.cancelled);
  });
});

describe('reviews', () => {
  it('are one after the other, also when those they are for go and others come meanwhile', async () => {
    const ends: (() => void)[] = [];
    const reviewed = { count: 0 };
    const calls = {
      insist: (attempt: () => Promise<unknown>) => attempt(),
      txn: () => {
        reviewed.count++;
        return new Promise((resolve) => {
          ends.push(() => {
            resolve({ succeeded: true, responses: [] });
          });
        });
      },
    };
    const obstacle = { question: { key: Buffer.from('a') }, isOver: () => false };
    const waiters = new Map([[{ obstacle: obstacle as unknown as Obstacle }, 0]]);
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask'] });
    try {
      const review = new EtcdReview(calls as unknown as EtcdCalls, waiters, () => undefined);
      review.plan();
      await jest.advanceTimersByTimeAsync(3_300);
      expect(reviewed.count).toBe(1);
      // The last one goes and another comes, again and again.
      for (let turn = 0; turn < 4; turn++) {
        review.callOff();
        review.plan();
      }
      for (const end of ends.splice(0)) end();
      await jest.advanceTimersByTimeAsync(3_300);
      expect(reviewed.count).toBe(2);
      for (const end of ends.splice(0)) end();
      await jest.advanceTimersByTimeAsync(3_300);
      expect(reviewed.count).toBe(3);
      review.callOff();
    } finally {
      jest.useRealTimers();
    }
  });
});

describe('a revision that goes back', () => {
  /** Answers with these revisions; the one that is asked first is answered last if `crossed`. */
  const answering = (revisions: number[], warnings: string[]) =>
    callsOn(
      {
        kv: {
          txn: () =>
            Promise.resolve({
              header: { revision: String(revisions.shift()), raft_term: '1' },
              succeeded: true,
              responses: [],
            }),
        },
      },
      { warn: (message) => void warnings.push(message) },
    );
  const request = { compare: [], success: [], failure: [] };

  it('is told, once for each time', async () => {
    const warnings: string[] = [];
    const calls = answering([43, 3, 4, 5, 2], warnings);
    for (let turn = 0; turn < 5; turn++) await calls.txn(request);
    expect(warnings).toEqual([
      expect.stringContaining('its revision went back from 43 to 3'),
      expect.stringContaining('its revision went back from 5 to 2'),
    ]);
    calls.close();
  });

  it('is none where answers overtook each other', async () => {
    const warnings: string[] = [];
    const calls = answering([7, 6], warnings);
    await Promise.all([calls.txn(request), calls.txn(request)]);
    expect(warnings).toEqual([]);
    calls.close();
  });
});

it.each([
  ['3.3.27', false],
  ['3.4.23', false],
  ['3.4.37', false],
  ['3.4.38', true],
  ['3.5.22', false],
  ['3.5.23', true],
  ['3.6.4', false],
  ['3.6.5', true],
  ['3.6.5-rc.1', true],
  ['3.7.0', true],
  ['4.0.0', true],
])('etcd %s: renewals can be believed: %s', (version, sound) => {
  expect(isSound(version)).toBe(sound);
});
