import { LockConfigurationError, LockKeyError } from '../errors/index.js';
import { shown } from '../text/shown.js';
import { checkKey } from '../options/lock-key.js';

/** `{0}`, `{1.user.id}`: the index of an argument, and a path into it. */
const PLACEHOLDER = /\{(\d+)((?:\.[^.{}\s]+)*)\}/g;

type Part =
  string | { readonly index: number; readonly path: readonly string[]; readonly text: string };

/**
 * Reads a key template: `order:{0.id}` is `order:` and the `id` of the first argument. `{{` and
 * `}}` stand for braces.
 * @returns what makes a key of a call's arguments; it throws a LockKeyError rather than lock on
 * `order:undefined`
 * @throws LockConfigurationError when the template is not well-formed
 */
export function parseKeyTemplate(template: string): (args: readonly unknown[]) => string {
  const parts = split(template);
  const [only] = parts;
  if (parts.length === 0) checkKey('');
  if (parts.length === 1 && typeof only === 'string') {
    checkKey(only);
    return () => only;
  }
  return (args) =>
    parts.map((part) => (typeof part === 'string' ? part : fill(template, part, args))).join('');
}

function split(template: string): Part[] {
  const parts: Part[] = [];
  let literal = '';
  const flush = () => {
    if (literal !== '') parts.push(literal);
    literal = '';
  };
  for (let at = 0; at < template.length;) {
    const two = template.slice(at, at + 2);
    if (two === '{{' || two === '}}') {
      literal += two.charAt(0);
      at += 2;
      continue;
    }
    const char = template.charAt(at);
    if (char !== '{' && char !== '}') {
      literal += char;
      at++;
      continue;
    }
    PLACEHOLDER.lastIndex = at;
    const match = PLACEHOLDER.exec(template);
    if (match?.index !== at) {
      throw new LockConfigurationError(
        `key template ${shown(template)} is not well-formed at position ${at}: write {0} or {0.path} for an argument, {{ or }} for a brace`,
      );
    }
    flush();
    const [text, index, path = ''] = match;
    parts.push({ index: Number(index), path: path.split('.').slice(1), text });
    at += text.length;
  }
  flush();
  return parts;
}

function fill(template: string, part: Exclude<Part, string>, args: readonly unknown[]): string {
  let value: unknown = args[part.index];
  for (const step of part.path) {
    if (value === undefined || value === null) break;
    value = (value as Record<string, unknown>)[step];
  }
  const usable =
    (typeof value === 'string' && value !== '') ||
    (typeof value === 'number' && Number.isFinite(value)) ||
    typeof value === 'bigint' ||
    typeof value === 'boolean';
  if (!usable) {
    throw new LockKeyError(
      `${part.text} in key template ${shown(template)} must give a non-empty string, a finite number, a bigint or a boolean, got ${shown(value)}`,
    );
  }
  return String(value);
}
