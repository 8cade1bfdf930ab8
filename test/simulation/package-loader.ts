import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { compileFunction } from 'node:vm';
import type * as Package from '../../lib/index.js';
import type { EtcdBackend } from '../../lib/backends/etcd/index.js';
import type { RedisBackend, RedlockBackend } from '../../lib/backends/redis/index.js';

/** What a module finds in its surroundings instead of the real things. */
export interface Surroundings {
  /** In place of the globals of these names. */
  readonly globals: Readonly<Record<string, unknown>>;
  /** In place of the exports of these modules. */
  readonly modules: Readonly<Record<string, object>>;
}

/** A fault that is planted in the package. */
export interface Planted {
  /** In `dist/cjs`, without its extension. */
  readonly file: string;
  /** Wherever it stands. */
  readonly from: string;
  readonly to: string;
}

export type LoadedPackage = typeof Package & {
  readonly EtcdBackend: typeof EtcdBackend;
  readonly RedisBackend: typeof RedisBackend;
  readonly RedlockBackend: typeof RedlockBackend;
};

type Evaluate = (
  require: (name: string) => unknown,
  module: { exports: object },
  exports: object,
  ...globals: unknown[]
) => void;

const PARTS = ['index.js', 'backends/redis/index.js', 'backends/etcd/index.js'];

/** The built package, evaluated as often as there are processes, each time with its own surroundings. */
export class PackageLoader {
  readonly #compiled = new Map<string, { evaluate: Evaluate; names: readonly string[] }>();
  readonly #unused: Set<Planted>;

  constructor(
    private readonly root: string,
    private readonly planted: readonly Planted[] = [],
    /** Packages that are loaded already: Jest cannot `require` what is an ES module. */
    private readonly others: Surroundings['modules'] = {},
  ) {
    this.#unused = new Set(planted);
  }

  load(surroundings: Surroundings): LoadedPackage {
    const modules = new Map<string, { exports: object }>();
    const load = (file: string): object => {
      const known = modules.get(file);
      if (known !== undefined) return known.exports;
      const module = { exports: {} };
      modules.set(file, module);
      const real = createRequire(file);
      const require = (name: string): unknown => {
        if (name.startsWith('.')) return load(resolve(dirname(file), name));
        return surroundings.modules[name] ?? this.others[name] ?? real(name);
      };
      const { evaluate, names } = this.#compile(file, Object.keys(surroundings.globals));
      const globals = names.map((name) => surroundings.globals[name]);
      evaluate(require, module, module.exports, ...globals);
      return module.exports;
    };
    const parts = PARTS.map((part) => load(join(this.root, 'dist/cjs', part)));
    const [missing] = this.#unused;
    if (missing) throw new Error(`${missing.file} has no ${missing.from}: mend the mutant`);
    return Object.assign({}, ...parts) as LoadedPackage;
  }

  #compile(file: string, names: readonly string[]) {
    let compiled = this.#compiled.get(file);
    if (compiled === undefined) {
      const source = this.#plant(file, readFileSync(file, 'utf8'));
      const parameters = ['require', 'module', 'exports', ...names];
      const evaluate = compileFunction(source, parameters, { filename: file }) as Evaluate;
      this.#compiled.set(file, (compiled = { evaluate, names }));
    }
    return compiled;
  }

  #plant(file: string, source: string): string {
    let changed = source;
    for (const fault of this.planted) {
      if (!file.endsWith(`/dist/cjs/${fault.file}.js`)) continue;
      const next = changed.replaceAll(fault.from, () => fault.to);
      if (next !== changed) this.#unused.delete(fault);
      changed = next;
    }
    return changed;
  }
}
