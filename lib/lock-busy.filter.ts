import {
  type ArgumentsHost,
  Catch,
  ConflictException,
  Logger,
  ServiceUnavailableException,
} from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { LockShutdownError, LockTimeoutError } from './errors/index.js';

/**
 * Answers an HTTP request that found its lock busy with 409 Conflict, and one that came while the
 * application closes with 503 Service Unavailable, both with a Retry-After header and, from Nest 12
 * on, the error's code as `errorCode`. Whoever calls in another way is told as without it.
 * Apply it where you want it: `@UseFilters(LockBusyFilter)`, or as APP_FILTER.
 */
@Catch(LockTimeoutError, LockShutdownError)
export class LockBusyFilter extends BaseExceptionFilter {
  /** Seconds that a client is told to wait; extend the class for another number. */
  protected readonly retryAfter: number = 1;

  /** Resolves nothing where there is no HTTP: Nest then goes on as without a filter. */
  override catch(error: LockTimeoutError | LockShutdownError, host: ArgumentsHost): void {
    const type = host.getType<string>();
    if (type === 'ws') tellSocket(error, host);
    if (type !== 'http') return;
    const response: unknown = host.switchToHttp().getResponse();
    const adapter = this.applicationRef ?? this.httpAdapterHost?.httpAdapter;
    if (adapter?.isHeadersSent(response) === false) {
      adapter.setHeader(response, 'Retry-After', String(this.retryAfter));
    }
    super.catch(toHttp(error), host);
  }
}

function toHttp(error: LockTimeoutError | LockShutdownError) {
  const { message, code } = error;
  const options = { cause: error, errorCode: code };
  // Nest 11 leaves the description out where it is given options.
  return error instanceof LockShutdownError
    ? new ServiceUnavailableException(message, { ...options, description: 'Service Unavailable' })
    : new ConflictException(message, { ...options, description: 'Conflict' });
}

/** Both Socket.IO's and the WebSockets of `ws`. */
interface SocketClient {
  emit(event: string, payload: unknown): void;
  send?(text: string): void;
  readyState?: unknown;
}

const socketLogger = new Logger('WsExceptionsHandler');

/**
 * What BaseWsExceptionFilter of @nestjs/websockets does, which is no dependency of this package: for a
 * gateway, a filter that was called has answered.
 */
function tellSocket(error: Error, host: ArgumentsHost): void {
  const ws = host.switchToWs();
  const client = ws.getClient<SocketClient | undefined>();
  if (client === undefined) return;
  const payload = {
    status: 'error',
    message: 'Internal server error',
    cause: { pattern: ws.getPattern(), data: ws.getData<unknown>() },
  };
  if (typeof client.readyState === 'number' && client.send !== undefined) {
    client.send(JSON.stringify({ event: 'exception', data: payload }));
  } else {
    client.emit('exception', payload);
  }
  socketLogger.error(error);
}
