// The site: `npm run docs` builds it, `npm run docs:dev` serves it. Links between pages are checked.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitepress';
import { plainMarkdown } from './markdown.mjs';
import { writePlainPages } from './plain-pages.mjs';
import { sections } from './sections.mjs';

const docs = join(import.meta.dirname, '..');

/** A page that is planned has its place here before it is written. */
const isThere = ([, link]) => link === 'api/' || existsSync(join(docs, `${link}.md`));

const sidebar = sections.map(({ title, pages, open = false }) => ({
  text: title,
  collapsed: !open,
  items: pages.filter(isThere).map(([text, link]) => ({
    text,
    link: `/${link}`,
    // The reference is made by another program: it is a page of its own, not of this application.
    ...(link === 'api/' && { link: '/api/index.html', target: '_self' }),
  })),
}));

export default defineConfig({
  title: 'nestjs-lock',
  description: 'Distributed locks for NestJS',
  lang: 'en',
  cleanUrls: false,
  lastUpdated: false,
  srcExclude: ['node_modules/**'],
  vite: { build: { assetsInlineLimit: 0 } }, // pictures stay files
  markdown: { config: plainMarkdown },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [
      { text: 'Start', link: '/start' },
      { text: 'Guides', link: '/guides/what-to-lock' },
      { text: 'Backends', link: '/backends/index' },
      { text: 'Reference', link: '/reference/options' },
    ],
    sidebar,
  },
  buildEnd: ({ outDir, pages }) => writePlainPages({ docs, outDir, pages, sections }),
});
