import { isObservable, type Observable } from 'rxjs';
import { LockNotWiredError } from '../errors/index.js';
import { shown } from '../text/shown.js';
import type { LockInterceptor } from '../lock.interceptor.js';
import { hasEverything } from '../nest/mocks.js';
import type { LockedCall } from './lock-method.js';
import { isAsyncIterable } from './returned-stream.js';

/*
 * How an interceptor is called that may not be ours: an application can put another in its place, and
 * a test a mock, of which some answer nothing.
 */

/** @throws LockNotWiredError when it answers with anything else */
export function intercept(
  interceptor: LockInterceptor,
  { context, where }: LockedCall,
  handle: () => Observable<unknown>,
): Observable<unknown> {
  const answer: unknown = interceptor.intercept(context, { handle });
  if (isObservable(answer) && !hasEverything(answer)) return answer;
  throw notOne(where, `whose intercept() answered ${shown(answer)}`);
}

/** @throws LockNotWiredError when it answers with anything else, or cannot do it */
export function iterate(
  interceptor: LockInterceptor,
  { context, where }: LockedCall,
  open: () => AsyncIterable<unknown>,
): AsyncGenerator {
  if (typeof Reflect.get(interceptor, 'iterate') !== 'function') {
    throw notOne(where, 'that has no iterate()');
  }
  const answer: unknown = interceptor.iterate(context, open);
  if (isAsyncIterable(answer)) return answer as AsyncGenerator;
  throw notOne(where, `whose iterate() answered ${shown(answer)}`);
}

function notOne(where: string, why: string): LockNotWiredError {
  return new LockNotWiredError(where, `a LockInterceptor ${why}`);
}
