import { extname } from 'node:path';
import { sources } from './page/sources.js';

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css',
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
};

export interface PageFile {
  readonly type: string;
  readonly text: string;
}

/** The files of the page, by name; the page itself is without one. */
export const pageFiles: ReadonlyMap<string, PageFile> = new Map(
  Object.entries(sources).map(([name, text]) => [
    name === 'index.html' ? '' : name,
    { type: TYPES[extname(name)] ?? 'text/plain', text },
  ]),
);
