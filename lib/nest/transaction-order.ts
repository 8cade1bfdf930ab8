import { types } from 'node:util';

/*
 * Which @Transactional() made a method. None leaves metadata, but the wrappers of two of them say in
 * an error of their own, which no build changes, whose they are.
 */
const WORDS: readonly (readonly [words: string, made: string])[] = [
  ['No CLS namespace defined in your app', 'typeorm-transactional'],
  ['@Transactional() decorator can only be applied to methods of classes', 'MikroORM'],
];

/** What @nestjs-cls/transactional provides; its decorator makes a Proxy of the method. */
const TRANSACTION_HOST = 'TransactionHost';

/** Whether an application uses @nestjs-cls/transactional. */
export function usesTransactionHost(providers: readonly { metatype: unknown }[]): boolean {
  return providers.some(
    ({ metatype }) => typeof metatype === 'function' && metatype.name === TRANSACTION_HOST,
  );
}

/** Whose transaction the method opens, if that is certain. */
export function transactionOf(method: object, hasTransactionHost: boolean): string | undefined {
  if (types.isProxy(method)) {
    return hasTransactionHost ? '@nestjs-cls/transactional' : undefined;
  }
  const source = Function.prototype.toString.call(method);
  return WORDS.find(([words]) => source.includes(words))?.[1];
}
