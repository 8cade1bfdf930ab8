// `npm run check:docs`: the links of all Markdown lead somewhere, and its TypeScript compiles, and runs.
// It needs the build of the package.
import { rmSync } from 'node:fs';
import { blocksOfTypeScript, compile, outDir } from './code.mjs';
import { markdownFiles } from './files.mjs';
import { checkLinks } from './links.mjs';
import { run, runsByItself } from './programs.mjs';

const blocks = blocksOfTypeScript();
const programs = blocks.filter(runsByItself);
const wrong = checkLinks();
try {
  const notCompiling = compile(blocks);
  wrong.push(...notCompiling);
  if (notCompiling.length === 0) wrong.push(...run(programs));
} finally {
  rmSync(outDir, { recursive: true, force: true });
}

for (const what of wrong) console.error(what);
console.log(
  `${markdownFiles.length} pages, ${blocks.length} blocks compiled, ${programs.length} programs run: ` +
    (wrong.length === 0 ? 'all well' : `${wrong.length} wrong`),
);
process.exitCode = wrong.length === 0 ? 0 : 1;
