// What a Markdown file says that can be checked: its headings, its links, its blocks of code.
import { readFileSync } from 'node:fs';

/** @returns {{ anchors: Set<string>, links: { target, line }[], blocks: { info, code, line, next }[] }} */
export function read(file) {
  const anchors = new Set();
  const links = [];
  const blocks = [];
  let block;
  for (const [index, text] of readFileSync(file, 'utf8').split('\n').entries()) {
    const line = index + 1;
    const fence = /^\s*```(.*)$/.exec(text);
    if (block !== undefined) {
      if (fence === null) block.code += `${text}\n`;
      else block = undefined;
    } else if (fence !== null) {
      block = { info: fence[1].trim().split(/\s+/), code: '', line };
      blocks.push(block);
    } else {
      const heading = /^#+ (.*)$/.exec(text);
      if (heading !== null) for (const anchor of anchorsOf(heading[1])) anchors.add(anchor);
      for (const [, target] of text.replace(/`[^`]*`/g, '').matchAll(/\]\(([^()\s]+)\)/g)) {
        links.push({ target, line });
      }
    }
  }
  return { anchors, links, blocks };
}

/** A heading has one where a Git host and our site agree on it: links must lead there on both. */
function anchorsOf(heading) {
  const text = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll('`', '');
  const host = text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-');
  const site = text
    .replace(/[\s~!@#$%^&*()\-_+=[\]{}|\\;:"'<>,.?/]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .toLowerCase();
  return host === site ? [host] : [];
}
