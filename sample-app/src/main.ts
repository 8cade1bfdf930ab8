import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module.js';
import { Settings } from './settings.js';

async function bootstrap(): Promise<void> {
  const app = await NestFactory.create(AppModule, { abortOnError: false });
  // On SIGTERM and SIGINT: whoever waits for a lock is told, whoever holds one may finish, and
  // nothing is left locked.
  app.enableShutdownHooks(['SIGTERM', 'SIGINT']);

  const { port, store } = app.get(Settings);
  await app.listen(port);
  const { port: actual } = new URL(await app.getUrl());
  console.log(welcome(`http://localhost:${actual}`, store.kind));
}

function welcome(url: string, backend: string): string {
  return `
The ticket shop listens on ${url}   (locks and stock in ${backend})

What to try:

  # how many tickets are left
  curl ${url}/shows/hamlet

  # buy one, under the lock of the show
  curl -X POST ${url}/shows/hamlet/tickets

  # two print jobs for one printer: the second is told at once that it is busy (409, Retry-After)
  curl -X POST ${url}/shows/hamlet/print & sleep 1; curl -i -X POST ${url}/shows/hamlet/print

  # who holds what and who waits, live, while 200 buyers come at once: the button is on ${url}
  ${url}/locks

  # whether the backend of the locks answers
  ${url}/health

  # how long locks are waited for and held, how many were lost, for Prometheus
  ${url}/metrics

  # 200 buyers at once for 100 tickets, without and with the lock
  npm run demo
`;
}

bootstrap().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});
