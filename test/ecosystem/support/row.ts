import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { Scene, type Order } from './scene.js';

/** What is seen of one order of the decorators. */
export interface Verdict {
  locked: boolean;
  works: boolean;
  released: 'after' | 'before' | 'never';
  remark?: string | undefined;
}

/** One line of the table. */
export interface Row {
  /** Whose versions are shown; the first names the row. */
  packages: [string, ...string[]];
  /** The decorators, or whatever else of the package meets `@Locked`. */
  beside: string;
  /** The work that the package does around the method, if any: "the commit", "the span". */
  wraps?: string;
  /** A package that has no decorator for methods has one order only. */
  orders?: readonly Order[];
  note?: string;
  /** Where it is not so that all is well, and below a package that wraps the lock is given back before. */
  recorded?: Partial<Record<Order, Partial<Verdict>>>;
  /** Throws where what the package promises does not hold. */
  run(scene: Scene): Promise<void>;
}

/** Runs the row in each order, and tells the runner, which started this process, what was seen. */
export async function row(row: Row): Promise<void> {
  const { packages, wraps, orders = ['above', 'below'], recorded, run, ...words } = row;
  const seen: Partial<Record<Order, Verdict & { problem?: string; story: string }>> = {};
  const expected: typeof recorded = {};
  for (const order of orders) {
    const scene = new Scene(order, wraps !== undefined);
    let problem: string | undefined;
    try {
      await run(scene);
    } catch (error) {
      problem = error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
    const { locked, released, remark, story } = scene;
    const works = problem === undefined;
    seen[order] = { locked, works, released, remark, problem, story };
    await scene.close();
    expected[order] = {
      locked: true,
      works: true,
      released: order === 'below' && wraps !== undefined ? 'before' : 'after',
      ...recorded?.[order],
    };
  }
  const versions = packages.map((name) => [name, versionOf(name)]);
  console.log(`\nROW ${JSON.stringify({ ...words, wraps, versions, seen, expected })}`);
  // What a package leaves running is not ours to judge here.
  process.exit(0);
}

/** Most packages do not export their manifest. */
function versionOf(name: string): string {
  const manifest = new URL(`../../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}
