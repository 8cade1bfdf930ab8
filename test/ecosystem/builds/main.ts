// Started by the rows of the builds: prints what was seen as JSON.
import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { LockService } from 'nestjs-lock';
import { Application } from './application.js';

async function main(): Promise<void> {
  const app = await NestFactory.create(Application, { logger: ['error', 'warn'] });
  await app.listen(0, '127.0.0.1');
  const base = await app.getUrl();
  const ask = async (order: string) => (await fetch(`${base}/${order}/7`)).json() as unknown;
  const seen = {
    above: await Promise.all([ask('above'), ask('above'), ask('above')]),
    below: await Promise.all([ask('below'), ask('below'), ask('below')]),
    held: (await app.get(LockService).inspect('show:7')).holders.length,
    error: await app
      .get(LockService)
      .acquire('')
      .catch((error: unknown) => (error as Error).name),
  };
  await app.close();
  console.log(`SEEN ${JSON.stringify(seen)}`);
}

void main();
