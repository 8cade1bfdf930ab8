// Every block of TypeScript in README and docs compiles, against the built package.
//
// - A block that imports something is a program: it is compiled as it stands, as a reader would copy it.
// - Any other is a fragment. Its names are those of scenery.ts. If it parses as statements, they are the body of
//   an async method; else it is members of a class. Either class extends the Scene.
// - In a fragment, `{ … }` is a body that is left out.
// - A block that is marked `foreign` (```ts foreign) is of another package, and is not compiled.
//
// A program that can run by itself is run, on the memory backend: see programs.mjs.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { markdownFiles, root } from './files.mjs';
import { read } from './markdown.mjs';

export const outDir = join(root, 'test/docs/dist');

const scenery = join(root, 'test/docs/scenery.ts');
const sceneryNames = exportsOf(scenery);

/** `file` is where the compiler finds a block, and `output` what it prints, if a block of text after it says so. */
export function blocksOfTypeScript() {
  return markdownFiles.flatMap((page) => {
    const { blocks } = read(join(root, page));
    return blocks.flatMap(({ info: [language, ...marks], code, line }, index) => {
      if (!['ts', 'typescript'].includes(language) || marks.includes('foreign')) return [];
      const isProgram = /^import /m.test(code);
      const next = blocks[index + 1];
      const isOutput = isProgram && next?.info[0] === 'text' && next.line === lineAfter(code, line);
      return {
        page,
        line,
        isProgram,
        code,
        file: join(root, 'test/docs', `${page.replaceAll('/', '-')}-${line}.mts`),
        text: isProgram ? `\n${code}` : wrapped(code),
        output: isOutput ? next.code : undefined,
      };
    });
  });
}

/** The fence, an empty line, and the fence of what it prints. */
const lineAfter = (code, line) => line + code.split('\n').length + 2;

function wrapped(fragment) {
  const code = fragment.replaceAll('{ … }', '{ throw new Error(); }');
  const names = sceneryNames.filter((name) => new RegExp(`\\b${name}\\b`).test(code));
  const start = `import { Scene, ${names.join(', ')} } from './scenery.js'; export class Block extends Scene {`;
  const asBody = `${start} async block() {\n${code}}}`;
  return parses(asBody) ? asBody : `${start}\n${code}}`;
}

function parses(text) {
  const { diagnostics } = ts.transpileModule(text, {
    reportDiagnostics: true,
    compilerOptions: { target: ts.ScriptTarget.ES2022, experimentalDecorators: true },
  });
  return diagnostics.length === 0;
}

const compilerOptions = {
  ...readTsconfig(),
  // The built package, by its name, as a reader has it; and what the workspace has to itself.
  paths: { typeorm: [join(root, 'test/orms/node_modules/typeorm/index.d.ts')] },
  types: ['node'],
  noEmit: false,
  rootDir: join(root, 'test/docs'),
  outDir,
  // A fragment imports values and types of the scenery alike.
  verbatimModuleSyntax: false,
  isolatedModules: false,
};

function readTsconfig() {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
  return ts.convertCompilerOptionsFromJson(config.compilerOptions, root).options;
}

/** @returns {string[]} what does not compile, by the lines of the pages. What does is written to `outDir`. */
export function compile(blocks) {
  const byFile = new Map(blocks.map((block) => [block.file, block]));
  const host = ts.createCompilerHost(compilerOptions);
  const { getSourceFile, fileExists, readFile } = host;
  host.fileExists = (file) => byFile.has(file) || fileExists(file);
  host.readFile = (file) => byFile.get(file)?.text ?? readFile(file);
  host.getSourceFile = (file, ...rest) =>
    byFile.has(file)
      ? ts.createSourceFile(file, byFile.get(file).text, ...rest)
      : getSourceFile(file, ...rest);

  const program = ts.createProgram([scenery, ...byFile.keys()], compilerOptions, host);
  return blocks.flatMap(({ file, page, line, isProgram }) => {
    const source = program.getSourceFile(file);
    const diagnostics = [
      ...program.getSyntacticDiagnostics(source),
      ...program.getSemanticDiagnostics(source),
    ];
    if (isProgram && diagnostics.length === 0) program.emit(source);
    return diagnostics.map((diagnostic) => {
      const { line: inBlock } = source.getLineAndCharacterOfPosition(diagnostic.start ?? 0);
      const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n  ');
      return `${page}:${line + inBlock}: ${message}`;
    });
  });
}

function exportsOf(file) {
  const names = [];
  for (const node of ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.ES2022)
    .statements) {
    if (ts.isExportDeclaration(node)) {
      names.push(...node.exportClause.elements.map(({ name }) => name.text));
    } else if (node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) {
      const declared = node.declarationList?.declarations ?? [node];
      names.push(...declared.map(({ name }) => name.text));
    }
  }
  return names.filter((name) => name !== 'Scene');
}
