// A link in Markdown leads to a file of the repository, and to a heading of it. So does a page that is named
// in code, in a comment or in a message. And each page of docs/ is in the navigation of the site.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { sections } from '../../docs/.vitepress/sections.mjs';
import { filesIn, markdownFiles, root } from './files.mjs';
import { read } from './markdown.mjs';

/** @returns {string[]} what is wrong, with file and line */
export function checkLinks() {
  return [...deadLinks(), ...deadMentions(), ...pagesNotInNavigation()];
}

function deadLinks() {
  return markdownFiles.flatMap((file) =>
    read(join(root, file))
      .links.filter(({ target }) => !/^\w+:/.test(target))
      .flatMap(({ target, line }) => {
        const [path, anchor] = target.split('#');
        const to = path === '' ? file : relative(root, join(root, dirname(file), path));
        return wrong(to, anchor).map((what) => `${file}:${line}: ${target} ${what}`);
      }),
  );
}

/** The pages in `docs/backends/redis.md#rights`, as a comment or a message of ours says it. */
const MENTION = /\b(docs\/[\w/-]+\.md)(?:#([\w-]+))?/g;

function deadMentions() {
  const files = ['lib', 'test', 'tools', 'bench', 'sample-app'].flatMap((folder) =>
    filesIn(folder, /\.(ts|mjs|lua|js)$/),
  );
  return files.flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(MENTION)].flatMap(
      ([mention, page, anchor]) => wrong(page, anchor).map((what) => `${file}: ${mention} ${what}`),
    ),
  );
}

function wrong(path, anchor) {
  if (!existsSync(join(root, path))) return ['is not there'];
  if (anchor === undefined) return [];
  return read(join(root, path)).anchors.has(anchor) ? [] : ['has no such heading'];
}

function pagesNotInNavigation() {
  const listed = new Set(
    sections.flatMap(({ pages }) => pages.map(([, link]) => `docs/${link}.md`)),
  );
  return markdownFiles
    .filter((file) => file.startsWith('docs/') && file !== 'docs/index.md' && !listed.has(file))
    .map((file) => `${file} is missing in docs/.vitepress/sections.mjs`);
}
