import type { SqlGuard } from '../lock-backend.js';

/** @param schema quoted */
export function guardOf(schema: string, namespace: string, key: string, id: string): SqlGuard {
  return { text: `SELECT ${schema}.guard($1, $2, $3)`, values: [namespace, key, id] };
}
