// Beside each page its Markdown with its pictures, and /llms.txt: a list of them all (https://llmstxt.org).
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export function writePlainPages({ docs, outDir, pages, sections }) {
  for (const page of pages) {
    const folder = dirname(page);
    mkdirSync(join(outDir, folder), { recursive: true });
    copyFileSync(join(docs, page), join(outDir, page));
    for (const [, picture] of readFileSync(join(docs, page), 'utf8').matchAll(
      /\]\(([\w-]+\.svg)\)/g,
    )) {
      copyFileSync(join(docs, folder, picture), join(outDir, folder, picture));
    }
  }
  const list = ({ title, pages: entries }) => {
    const there = entries.filter(([, link]) => existsSync(join(docs, `${link}.md`)));
    return [`## ${title}`, '', ...there.map(([text, link]) => `- [${text}](/${link}.md)`), ''];
  };
  const head = [
    '# nestjs-lock',
    '',
    '> Distributed locks for NestJS: @Locked on a method, and it runs in one place at a time, across',
    '> every process that shares the backend (memory, Redis, Redlock, etcd).',
    '',
    'Each page of this site is also there as Markdown, at its address with .md instead of .html.',
    '',
  ];
  writeFileSync(join(outDir, 'llms.txt'), [...head, ...sections.flatMap(list)].join('\n'));
}
