import type { INestApplication, LoggerService, ModuleMetadata } from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { Test, type TestingModule, type TestingModuleBuilder } from '@nestjs/testing';

const open = new Set<{ close(): Promise<void> }>();

afterEach(async () => {
  const applications = [...open].reverse();
  open.clear();
  for (const application of applications) await application.close();
});

/** Has the application closed when the test is over. */
export function closeAfterTest<T extends { close(): Promise<void> }>(application: T): T {
  open.add(application);
  return application;
}

/** What an application logged at one level. */
export class Log implements LoggerService {
  readonly warnings: string[] = [];
  readonly errors: string[] = [];

  log(): void {}

  warn(message: unknown): void {
    this.warnings.push(String(message));
  }

  error(message: unknown): void {
    this.errors.push(String(message));
  }
}

interface Preparation {
  log?: Log;
  /** What a test does to the module before it is compiled: `overrideProvider(…)`. */
  prepare?: (builder: TestingModuleBuilder) => TestingModuleBuilder;
}

/** A compiled module that was not initialised. It is closed after the test. */
export async function compile(
  metadata: ModuleMetadata,
  { log = new Log(), prepare = (builder) => builder }: Preparation = {},
): Promise<TestingModule> {
  const builder = Test.createTestingModule(metadata).setLogger(log);
  return closeAfterTest(await prepare(builder).compile());
}

/** An initialised application without HTTP. It is closed after the test. */
export async function start(
  metadata: ModuleMetadata,
  preparation?: Preparation,
): Promise<TestingModule> {
  const module = await compile(metadata, preparation);
  try {
    return await module.init();
  } catch (error) {
    // Nest 11 has nothing to close then: its close() rejects with what the start did.
    open.delete(module);
    throw error;
  }
}

interface HttpPreparation {
  log?: Log;
  /** @default that of Express */
  adapter?: AbstractHttpAdapter;
  /** @default one of the system's choosing */
  port?: number;
}

/** An HTTP application that listens. It is closed after the test. */
export async function startHttp(
  metadata: ModuleMetadata,
  prepare: (app: INestApplication) => unknown = () => undefined,
  { log = new Log(), adapter, port = 0 }: HttpPreparation = {},
): Promise<INestApplication> {
  const module = await Test.createTestingModule(metadata).setLogger(log).compile();
  const app = closeAfterTest(
    adapter === undefined
      ? module.createNestApplication({ logger: log })
      : module.createNestApplication(adapter, { logger: log }),
  );
  prepare(app);
  await app.listen(port, '127.0.0.1');
  return app;
}
