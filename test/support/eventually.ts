import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until the condition holds; fails, saying what was awaited, when it does not within `ms`.
 * @param every so many milliseconds it looks: seldom, where a look is work for many
 */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  ms = 30_000,
  every = 5,
): Promise<void> {
  const end = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(every);
  }
}
