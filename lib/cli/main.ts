#!/usr/bin/env node
/**
 * `nestjs-lock`, the command line. A command is read (arguments.ts), done on a LockService (run.ts,
 * operate.ts, dashboard.ts), and ends with an exit code (exit-codes.ts). It loads Nest and a client only for a
 * command that needs them.
 */
import { readArguments, type Invocation } from './arguments.js';
import { EXIT, verdictOn } from './exit-codes.js';
import { HELP, version } from './help.js';
import { complain, print } from './output.js';

async function main(): Promise<number> {
  try {
    return await follow(readArguments(process.argv.slice(2)));
  } catch (error) {
    const { message, exitCode } = verdictOn(error);
    complain(message);
    return exitCode;
  }
}

async function follow(invocation: Invocation): Promise<number> {
  if (invocation.command === 'help') {
    print(HELP.trimEnd());
    return EXIT.ok;
  }
  if (invocation.command === 'version') {
    print(version());
    return EXIT.ok;
  }
  if (invocation.command === 'migrate') {
    return (await import('./migrate.js')).migrate(invocation);
  }
  const { openStore } = await import('./stores.js');
  const backend = await openStore(invocation.store);
  if (invocation.command === 'run') return (await import('./run.js')).run(invocation, backend);
  if (invocation.command === 'dashboard') {
    return (await import('./dashboard.js')).dashboard(invocation, backend);
  }
  return (await import('./operate.js')).operate(invocation, backend);
}

// Who reads our list may have seen enough.
process.stdout.on('error', () => process.exit());
// A terminal that has gone must not keep us from giving a lock back.
process.stderr.on('error', () => undefined);
process.exitCode = await main();
