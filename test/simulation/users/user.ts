import type { Lock, LockOptions, LockService } from '../../../lib/index.js';
import type { SimProcess } from '../sim-process.js';
import type { Held, Terms } from './ledger.js';
import type { Site } from './site.js';

const PLAIN: Terms = { mode: 'exclusive', limit: 1 };
const READING: Terms = { mode: 'shared', limit: 1 };

/** What users do, and how often. */
const DEEDS = {
  plain: 40,
  readers: 14,
  limited: 10,
  several: 8,
  nested: 4,
  leader: 2,
  web: 4,
  kept: 4,
  bounded: 3,
  unrenewed: 5,
  impatient: 6,
  operator: 2,
} as const;

/** Does at random what the package offers, one thing after the other, in one process. */
export class User {
  constructor(
    private readonly site: Site,
    private readonly process: SimProcess,
    private readonly service: LockService,
  ) {}

  async live(): Promise<void> {
    const { random } = this.site.timeline;
    for (;;) {
      await this.process.sleep(random.between(0, 60));
      if (this.site.isClosed()) return;
      try {
        await this.#act();
      } catch (error) {
        if (this.site.failed(this.process, error) === 'shutdown') return;
      }
    }
  }

  async #act(): Promise<void> {
    const { random } = this.site.timeline;
    const key = random.pick(['a', 'b', 'c']);
    switch (random.weighted(DEEDS)) {
      case 'plain':
        return this.#hold(key, PLAIN);
      case 'readers':
        return this.#read();
      case 'limited': {
        if (!this.site.supports.limit) return this.#hold(key, PLAIN);
        // Some ask with another limit, as between two versions of an application.
        const limit = random.chance(0.9) ? 2 : 3;
        return this.#hold('pool', { mode: 'exclusive', limit });
      }
      case 'several':
        return this.#hold(random.chance(0.5) ? ['a', 'b'] : ['c', 'b', 'a'], PLAIN, {
          ...(random.chance(0.2) && { minHold: 50 }),
        });
      case 'nested':
        return this.#nest(key);
      case 'leader':
        return this.#lead();
      case 'web':
        return this.#request(key);
      case 'kept':
        return this.#hold(key, PLAIN, { minHold: random.between(1, 300) });
      case 'bounded':
        return this.#hold(key, PLAIN, { maxHold: Math.ceil(random.between(20, 2_000)) });
      case 'unrenewed':
        return this.#hold(key, PLAIN, { renew: false });
      case 'impatient':
        return this.#giveUp(key);
      case 'operator':
        return this.#operate(key);
    }
  }

  #options(): LockOptions {
    const { random } = this.site.timeline;
    const { minTtl } = this.site.supports;
    const ttl = Math.max(minTtl, random.pick([200, 500, 1_000, 5_000]));
    return { ttl, wait: random.chance(0.1) ? 0 : '10m' };
  }

  async #acquire(key: string | string[], terms: Terms, more: LockOptions): Promise<Lock> {
    const { site, process } = this;
    const { timeline } = site;
    const since = timeline.now;
    const { mode, limit } = terms;
    const options = { ...this.#options(), ...more, mode, ...(limit > 1 && { limit }) };
    timeline.note(`${process.name} asks for ${String(key)}`);
    const answered = site.ledger.wait(process, [key].flat());
    const lock = await this.service.acquire(key, options).finally(answered);
    site.ledger.serve(process, lock.keys, since);
    site.count('granted');
    site.waited(since);
    return lock;
  }

  async #hold(key: string | string[], terms: Terms, more: LockOptions = {}): Promise<void> {
    const lock = await this.#acquire(key, terms, more);
    const oftenLong = more.renew === false ? 0.5 : terms === READING ? 0.2 : 0.05;
    await this.#under(lock, terms, () => this.#work(lock, oftenLong));
  }

  /** Is inside while the body runs, and gives the lock back. */
  async #under(lock: Lock, terms: Terms, body: () => Promise<void>): Promise<void> {
    const leave = this.site.ledger.enter(this.process, lock, terms);
    try {
      await body();
    } finally {
      leave();
      await lock.release();
    }
  }

  /** Works under it for a while; now and then for longer than it lives without being renewed. */
  async #work(lock: Lock, oftenLong = 0.05): Promise<void> {
    const { timeline } = this.site;
    const { random } = timeline;
    const isLong = random.chance(oftenLong);
    await this.process.sleep(isLong ? random.between(0, 2_000) : random.between(0, 10));
    if (!random.chance(0.03) || !lock.held) return;
    const ttl = random.pick([1_000, 3_000]);
    timeline.note(`${this.process.name} renews ${lock.key} for ${ttl} ms`);
    await lock.renew(ttl);
    timeline.note(`${this.process.name} has renewed ${lock.key}`);
  }

  async #read(): Promise<void> {
    const { random } = this.site.timeline;
    const key = random.pick(['book', 'page']);
    if (random.chance(0.6)) return this.#hold(key, READING);
    if (random.chance(0.7)) return this.#hold(key, PLAIN);
    const lock = await this.#acquire(key, PLAIN, {});
    await this.#under(lock, PLAIN, async () => {
      await this.#work(lock);
      if (!lock.held) return;
      const downgraded = lock.downgrade();
      // From now on others may read as well.
      this.site.ledger.downgrade(this.process, lock);
      await downgraded;
      await this.#work(lock);
    });
  }

  async #nest(key: string): Promise<void> {
    const { ledger } = this.site;
    await this.service.withLock(key, { ...this.#options(), wait: '10m' }, async (lock) => {
      const leave = ledger.enter(this.process, lock, PLAIN);
      try {
        await this.service.withLock(key, { reentrant: true }, async () => {
          await this.#work(lock);
        });
      } finally {
        leave();
      }
    });
  }

  /** Who of a process stands stands for all of it. */
  async #lead(): Promise<void> {
    const { ledger, timeline } = this.site;
    if (this.process.stands) return;
    this.process.stands = true;
    const leadership = this.service.leader('throne', {
      ttl: Math.max(this.site.supports.minTtl, 1_000),
    });
    const giveUp = timeline.random.between(100, 5_000);
    const off = leadership.onElected(async (term) => {
      const held: Held = {
        keys: ['throne'],
        fencingTokenOf: () => term.fencingToken,
        get held() {
          return term.held;
        },
      };
      const leave = ledger.enter(this.process, held, PLAIN);
      await this.process.sleep(timeline.random.between(0, 300));
      leave();
      await leadership.withdraw();
    });
    await this.process.sleep(giveUp);
    off();
    await leadership.withdraw();
    this.process.stands = false;
  }

  async #request(key: string): Promise<void> {
    const { random } = this.site.timeline;
    const options = random.chance(0.1) ? { ifAvailable: true } : {};
    await this.service.manager().request(`web:${key}`, options, async (lock) => {
      if (lock !== null) await this.process.sleep(random.between(0, 10));
    });
  }

  /** Waits for a moment only. */
  async #giveUp(key: string): Promise<void> {
    const { random } = this.site.timeline;
    const gaveUp = new AbortController();
    void this.process.sleep(random.between(0, 50)).then(() => {
      gaveUp.abort();
    });
    await this.#hold(key, PLAIN, { wait: '1m', signal: gaveUp.signal });
  }

  async #operate(key: string): Promise<void> {
    const { ledger, timeline } = this.site;
    const { random } = timeline;
    if (random.chance(0.5)) await this.service.inspect(key);
    else if (random.chance(0.7)) await this.service.revoke(key, { grace: random.between(1, 200) });
    else await ledger.whileBreaking(key, this.service.forceRelease(key));
  }
}
