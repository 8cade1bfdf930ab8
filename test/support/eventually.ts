import { setTimeout as sleep } from 'node:timers/promises';

/** After this it counts as hanging, in milliseconds: sooner than a lock of the default ttl ends by itself. */
const LONGEST = 20_000;

/**
 * Waits until the condition holds; fails, saying what was awaited, when it does not for so long that it
 * counts as hanging.
 * @param every so many milliseconds it looks: seldom, where a look is work for many
 */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  every = 5,
): Promise<void> {
  const end = performance.now() + LONGEST;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${LONGEST} ms: ${what}`);
    await sleep(every);
  }
}
