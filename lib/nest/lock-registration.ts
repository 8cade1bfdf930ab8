import 'reflect-metadata';
import { type DynamicModule, type ForwardReference, Scope, type Type } from '@nestjs/common';
import type { ModuleRef } from '@nestjs/core';
import { LockConfigurationError } from '../errors/index.js';
import { getLockServiceToken, OPTIONS_TOKEN } from '../lock.constants.js';

type Container = ReturnType<typeof containerOf>;
type NestModule = NonNullable<ReturnType<Container['getModuleByKey']>>;
type Wrapper = NonNullable<ReturnType<NestModule['providers']['get']>>;

/** What `@Module({ imports })` holds, and where Nest keeps it. */
type Import = Type | DynamicModule | ForwardReference<() => Import> | Promise<DynamicModule>;
const IMPORTS = 'imports';

/**
 * The application that a module is in. By its ModuleRef, which is never behind the proxy that an
 * application may put around each instance (its option `instrument`).
 */
export function containerOf(moduleRef: ModuleRef) {
  // eslint-disable-next-line @typescript-eslint/dot-notation -- it is protected
  return moduleRef['container'];
}

/**
 * Two LockModules of one name have a LockService each, of which neither knows what the other's
 * callers hold; in memory they do not even exclude each other. It is meant so only where none of
 * them is global.
 * @throws LockConfigurationError that says which modules import them
 */
export function checkRegisteredOnce(moduleRef: ModuleRef): void {
  const container = containerOf(moduleRef);
  const registered = new Map<symbol, NestModule[]>();
  for (const module of lockModules(container)) {
    const service = serviceTokenOf(module);
    registered.set(service, [...(registered.get(service) ?? []), module]);
  }
  for (const [service, same] of registered) {
    const times = same.length;
    if (times < 2 || !same.some(({ isGlobal }) => isGlobal)) continue;
    const places = importersOf(service, container);
    while (places.length < times) places.push('a dynamic module');
    throw new LockConfigurationError(
      `LockModule${named(service)} is registered ${times} times: by ${places.join(', by ')}. ` +
        'Each would lock on its own. Register it once, for all modules, ' +
        "or tell them apart by a name: LockModule.forRoot({ name: 'another' })",
    );
  }
}

/**
 * Options that depend on something request-scoped make the LockService request-scoped as well: each
 * request would lock on its own, over connections of its own. Nest knows of it when it has resolved
 * them, so not before `onModuleInit`.
 * @throws LockConfigurationError that names what they depend on
 */
export function checkSameForAllRequests(moduleRef: ModuleRef): void {
  const container = containerOf(moduleRef);
  for (const module of lockModules(container)) {
    const path = pathToRequest(module.providers.get(OPTIONS_TOKEN));
    if (path === undefined) continue;
    const service = serviceTokenOf(module);
    const places = importersOf(service, container);
    throw new LockConfigurationError(
      `LockModule${named(service)}, registered by ${places.join(', by ') || 'a dynamic module'}, ` +
        `has options that depend on ${path.join(', which depends on ')}, which is request-scoped: ` +
        'each request would lock on its own. Inject only what is the same for all requests',
    );
  }
}

export function lockModules(container: Container): NestModule[] {
  return [...container.getModules().values()].filter(({ providers }) =>
    providers.has(OPTIONS_TOKEN),
  );
}

function isServiceToken(token: unknown): token is symbol {
  const key = typeof token === 'symbol' ? Symbol.keyFor(token) : undefined;
  const unnamed = getLockServiceToken();
  return token === unnamed || key?.startsWith(`${String(unnamed.description)}:`) === true;
}

function serviceTokenOf({ providers }: NestModule): symbol {
  return [...providers.keys()].find(isServiceToken) ?? getLockServiceToken();
}

function named(service: symbol): string {
  const name = service.description?.slice(getLockServiceToken().description?.length).slice(1);
  return name === undefined || name === '' ? '' : ` '${name}'`;
}

/** The classes that import what exports the service, those that share one import joined by 'and'. */
function importersOf(service: symbol, container: Container): string[] {
  const importers = new Map<DynamicModule, Set<string>>();
  for (const { metatype, token } of container.getModules().values()) {
    const declared = (Reflect.getMetadata(IMPORTS, metatype) ?? []) as Import[];
    const dynamic = container.getDynamicMetadataByToken(token, IMPORTS) as Import[];
    for (const entry of [...declared, ...dynamic]) {
      const imported = isForward(entry) ? entry.forwardRef() : entry;
      if (!isDynamic(imported) || !imported.exports?.includes(service)) continue;
      importers.set(imported, (importers.get(imported) ?? new Set()).add(metatype.name));
    }
  }
  return [...importers.values()].map((names) => [...names].join(' and '));
}

function isForward(entry: Import): entry is ForwardReference<() => Import> {
  return 'forwardRef' in entry;
}

function isDynamic(entry: Import): entry is DynamicModule {
  return 'module' in entry;
}

/** From what a provider depends on down to what is request-scoped; undefined when nothing is. */
function pathToRequest(
  provider: Wrapper | undefined,
  seen = new Set<Wrapper>(),
): string[] | undefined {
  if (provider === undefined || seen.has(provider)) return undefined;
  seen.add(provider);
  // Undefined where there are none, whatever their types say.
  const injected = provider.getCtorMetadata() as Wrapper[] | undefined;
  const properties = provider.getPropertiesMetadata() as { wrapper: Wrapper }[] | undefined;
  const ofProperties = properties?.map(({ wrapper }) => wrapper);
  for (const dependency of [...(injected ?? []), ...(ofProperties ?? [])]) {
    const name = String(dependency.name);
    if (dependency.scope === Scope.REQUEST) return [name];
    const path = pathToRequest(dependency, seen);
    if (path !== undefined) return [name, ...path];
  }
  return undefined;
}
