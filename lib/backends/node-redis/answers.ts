import { messageOf } from '../../text/shown.js';
import { replyError } from '../redis-common/redis-errors.js';

/** What a server answers begins with a code; what else node-redis says is a sentence. */
const CODE = /^-?[A-Z]{2,} /;

/** Whether the server itself answered with this error. By its words: there may be more than one copy of node-redis. */
export function isAnswer(error: unknown): boolean {
  return CODE.test(messageOf(error));
}

/** The error as it is told to what speaks to Redis: so that what the server answered is known as such. */
export function asReply(error: unknown): unknown {
  return isAnswer(error) ? replyError(messageOf(error)) : error;
}
