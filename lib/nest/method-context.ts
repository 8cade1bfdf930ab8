import type { ExecutionContext, Type } from '@nestjs/common';

/* eslint-disable @typescript-eslint/no-unnecessary-type-parameters -- Nest's own signatures */

/** The execution context of a decorated method that is called directly: by no transport. */
export class MethodContext implements ExecutionContext {
  constructor(
    readonly instance: object,
    private readonly handler: (...args: never[]) => unknown,
    private readonly args: unknown[],
  ) {}

  static is(context: ExecutionContext): context is MethodContext {
    return context.getType<string>() === 'lock';
  }

  getClass<T>(): Type<T> {
    return this.instance.constructor as Type<T>;
  }

  // eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- likewise
  getHandler(): Function {
    return this.handler;
  }

  getArgs<T extends unknown[]>(): T {
    return this.args as T;
  }

  getArgByIndex<T>(index: number): T {
    return this.args[index] as T;
  }

  getType<T extends string>(): T {
    return 'lock' as T;
  }

  switchToHttp(): never {
    return this.#noTransport('HTTP');
  }

  switchToRpc(): never {
    return this.#noTransport('RPC');
  }

  switchToWs(): never {
    return this.#noTransport('WebSocket');
  }

  #noTransport(transport: string): never {
    throw new TypeError(`a locked method is called directly: there is no ${transport} context`);
  }
}
