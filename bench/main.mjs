// Starts the servers, runs the program that is asked for, writes what it found, and stops the
// servers again, however it ends.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { bloat } from './bloat.mjs';
import { compare } from './compare.mjs';
import { grow } from './grow.mjs';
import { startServers } from './harness/servers.mjs';
import { readOptions, usage } from './options.mjs';

const programs = { compare, growth: grow, bloat };

let options;
try {
  options = readOptions(process.argv.slice(2));
} catch (error) {
  console.error(`${error.message}\n\n${usage}`);
  process.exit(2);
}
if (options.help) {
  console.log(usage);
  process.exit();
}

// The servers are stopped at the end of the process; children end when their channel closes.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));

// Now, as after a quarter of an hour is a bad time to find that a folder cannot be made.
for (const file of [options.json, options.svg])
  if (file) mkdirSync(dirname(file), { recursive: true });

const start = Date.now();
const servers = await startServers();
const { svg, failures, ...found } = await programs[options.program]({
  servers,
  options,
  print,
  progress,
});
print(`${Math.round((Date.now() - start) / 1_000)} s`);
if (options.json) {
  const command = ['npm run bench --', ...process.argv.slice(2)].join(' ');
  writeFileSync(options.json, JSON.stringify({ command, ...found }, undefined, 1) + '\n');
}
if (options.svg) writeFileSync(options.svg, svg());
for (const failure of failures) console.error(`FAILED: ${failure}`);
process.exit(failures.length > 0 ? 1 : 0);

/** What it does now, where somebody looks. */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

function print(text) {
  progress('');
  console.log(text);
}
