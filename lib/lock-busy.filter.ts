import { type ArgumentsHost, Catch, ConflictException } from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { throwError, type Observable } from 'rxjs';
import { LockTimeoutError } from './errors/index.js';

/**
 * Answers an HTTP request that found its lock busy with 409 Conflict and a Retry-After header.
 * Apply it where you want it: `@UseFilters(LockBusyFilter)`, or as APP_FILTER.
 */
@Catch(LockTimeoutError)
export class LockBusyFilter extends BaseExceptionFilter {
  /** Seconds that a client is told to wait; extend the class for another number. */
  protected readonly retryAfter: number = 1;

  override catch(error: LockTimeoutError, host: ArgumentsHost): Observable<never> | undefined {
    // Elsewhere there is no such answer, and the error goes on as it would have without us.
    if (host.getType() === 'rpc') return throwError(() => error);
    if (host.getType() !== 'http') throw error;
    const adapter = this.applicationRef ?? this.httpAdapterHost?.httpAdapter;
    adapter?.setHeader(host.switchToHttp().getResponse(), 'Retry-After', String(this.retryAfter));
    super.catch(new ConflictException(error.message), host);
    return undefined;
  }
}
