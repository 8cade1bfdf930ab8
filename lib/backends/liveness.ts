/** What a waiter lives at least without a sign of life, in milliseconds. */
const LEAST = 3_500;

/** Between two signs of life, and for what comes in between, as a new connection does, in milliseconds. */
const BETWEEN = 1_500;

/**
 * How long a waiter lives at the server without a sign of life, in milliseconds: so that one may fail,
 * which takes the command timeout.
 */
export function livenessFor(commandTimeout: number): number {
  return Math.max(LEAST, commandTimeout + BETWEEN);
}
