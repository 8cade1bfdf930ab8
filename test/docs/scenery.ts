// What the fragments of code in README and docs may name without saying where it is from.
import type { EventEmitter } from 'node:events';
import type { Etcd3, IOptions } from 'etcd3';
import type { Redis } from 'ioredis';
import type { TestingModuleBuilder } from '@nestjs/testing';
import type { Lock, LockService } from 'nestjs-lock';

export { AsyncResource } from 'node:async_hooks';
export { Param, Post } from '@nestjs/common';
export { NestFactory } from '@nestjs/core';
export { Test } from '@nestjs/testing';
export {
  getLockBackendToken,
  getLockInterceptorToken,
  Locked,
  LockInterceptor,
  LockLostError,
  LockModule,
  LockService,
  LockTimeoutError,
  MemoryBackend,
} from 'nestjs-lock';
export { EtcdBackend } from 'nestjs-lock/etcd';
export { RedisBackend, RedlockBackend } from 'nestjs-lock/redis';

export interface Order {
  id: string;
}

export interface OrderPaid {
  orderId: string;
}

export interface Account {
  id: string;
}

export interface Entry {
  id: string;
}

export interface Report {
  name: string;
}

export interface Database {
  query(sql: string, values: readonly unknown[]): Promise<{ rowCount: number }>;
  transaction<T>(body: () => Promise<T>): Promise<T>;
}

export declare class AppModule {}

export declare const locks: LockService;
export declare const lock: Lock;
export declare const url: string;
export declare const host: string;
export declare const port: number;
export declare const client: Redis;
export declare const etcd: Etcd3;
export declare const credentials: IOptions['credentials'];
export declare const auth: IOptions['auth'];
export declare const emitter: EventEmitter;
export declare const builder: TestingModuleBuilder;

export declare function createMock(): object;
export declare function ship(id: number): Promise<string>;
export declare function token(): Promise<string>;
/** Of typeorm-transactional, of @nestjs-cls/transactional and of MikroORM. */
export declare function Transactional(): MethodDecorator;

/** What a fragment finds under `this`. */
export declare abstract class Scene {
  protected readonly locks: LockService;
  protected readonly db: Database;
  protected book(item: unknown): Promise<void>;
  protected rebuild(): Promise<void>;
  protected compare(): Promise<void>;
}
