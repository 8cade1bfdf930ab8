// Writes sources.ts beside the scripts of each backend, in Lua or SQL: the text of every script, by name.
//
// A script in Lua may say  --- @include "hand-off"  and gets the text of _hand-off.lua in that place, from
// its own folder or else from redis-common. Files that begin with an underscore exist
// only to be included.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { moduleOf } from './embedded-scripts.mjs';
import { writeSources } from './write-sources.mjs';

const backends = join(import.meta.dirname, '../lib/backends');
const shared = join(backends, 'redis-common/scripts');

for (const backend of ['redis-common', 'redis', 'redlock'])
  embed(join(backends, backend, 'scripts'), '.lua');
embed(join(backends, 'postgres/scripts'), '.sql');

function embed(folder, extension) {
  const names = readdirSync(folder)
    .filter((file) => file.endsWith(extension) && !file.startsWith('_'))
    .map((file) => file.slice(0, -extension.length))
    .sort();
  writeSources(
    folder,
    moduleOf(names.map((name) => [name, read([folder, shared], name + extension)])),
  );
}

/** The text of a script with its includes in place; `path` is the chain of files that led here. */
function read(folders, file, path = []) {
  if (path.includes(file)) throw new Error(`circular include: ${[...path, file].join(' -> ')}`);
  const found = folders
    .map((folder) => join(folder, file))
    .find((candidate) => existsSync(candidate));
  if (found === undefined) throw new Error(`${path.at(-1)} includes ${file}: no such file`);
  return readFileSync(found, 'utf8').replace(/^ *--- @include "(.*)"$/gm, (_, name) => {
    const part = folders.some((folder) => existsSync(join(folder, `_${name}.lua`)));
    // Without such a part it is a whole script, as the body of a function.
    return read(folders, part ? `_${name}.lua` : `${name}.lua`, [...path, file]).trimEnd();
  });
}
