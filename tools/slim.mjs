// What the build leaves in dist/ is published, twice over: as ES modules and as CommonJS. So it goes out without what
// costs much and is not needed there: comments and indentation of code, and declarations that no entry point leads
// to. The lines stay, for stack traces, and so do the doc comments of declarations, where editors find them.
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import ts from 'typescript';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

for (const file of filesOf('esm', '.js')) {
  writeFileSync(file, withoutIndentation(withoutComments(readFileSync(file, 'utf8'))));
}
for (const file of filesOf('cjs', '.js')) {
  writeFileSync(file, withoutIndentation(readFileSync(file, 'utf8'))); // built without comments
}

const wanted = reachable(entryPoints());
for (const file of filesOf('esm', '.d.ts')) {
  if (wanted.has(file)) cpSync(file, join(dist, 'cjs', relative(join(dist, 'esm'), file)));
  else rmSync(file);
}

function filesOf(format, ending) {
  const folder = join(dist, format);
  return readdirSync(folder, { recursive: true })
    .filter((file) => file.endsWith(ending))
    .map((file) => join(folder, file));
}

function withoutComments(code) {
  return ts.transpileModule(code, {
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext, // as it stands, in both formats
      verbatimModuleSyntax: true,
      removeComments: true,
    },
  }).outputText;
}

/** But within a text of several lines it stays. */
function withoutIndentation(code) {
  const texts = code.includes('`') ? textsOfSeveralLines(code) : [];
  return code.replace(/^ +/gm, (indent, start) =>
    texts.some(([from, to]) => from < start && start < to) ? indent : '',
  );
}

function textsOfSeveralLines(code) {
  const found = [];
  const visit = (node) => {
    if (ts.isTemplateLiteralToken(node) && node.getText(source).includes('\n')) {
      found.push([node.getStart(source), node.end]);
    }
    ts.forEachChild(node, visit);
  };
  const source = ts.createSourceFile('module.js', code, ts.ScriptTarget.ES2022);
  visit(source);
  return found;
}

function entryPoints() {
  return Object.values(exports)
    .filter((entry) => typeof entry === 'object')
    .map((entry) => join(root, entry.import.types));
}

function reachable(entries) {
  const found = new Set();
  const visit = (file) => {
    if (found.has(file)) return;
    found.add(file);
    const { importedFiles } = ts.preProcessFile(readFileSync(file, 'utf8'), true, true);
    for (const { fileName } of importedFiles) {
      if (fileName.startsWith('.')) visit(join(dirname(file), fileName.replace(/\.js$/, '.d.ts')));
    }
  };
  for (const entry of entries) visit(entry);
  return found;
}
