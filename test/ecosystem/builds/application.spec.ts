// Runs under vitest and under jest: the globals are the same.
import 'reflect-metadata';
import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { LockService } from 'nestjs-lock';
import { answer, Application, Shows } from './application.js';

declare const describe: (name: string, body: () => void) => void;
declare const it: (name: string, body: () => Promise<void>) => void;
declare const afterEach: (body: () => Promise<void>) => void;
declare const expect: (value: unknown) => { toEqual(expected: unknown): void };

describe('an application with locks', () => {
  let app: INestApplication;

  const start = async () => {
    const module = await Test.createTestingModule({ imports: [Application] }).compile();
    app = module.createNestApplication({ logger: ['error', 'warn'] });
    await app.init();
    return app.get(Shows);
  };

  afterEach(() => app.close());

  it('locks above', async () => {
    const shows = await start();
    const all = await Promise.all([shows.above('7'), shows.above('7'), shows.above('7')]);
    expect(all).toEqual([answer('7'), answer('7'), answer('7')]);
  });

  it('locks below', async () => {
    const shows = await start();
    const all = await Promise.all([shows.below('7'), shows.below('7'), shows.below('7')]);
    expect(all).toEqual([answer('7'), answer('7'), answer('7')]);
    expect((await app.get(LockService).inspect('show:7')).holders).toEqual([]);
  });
});
