import { readFileSync } from 'node:fs';
import { EXIT } from './exit-codes.js';

export const HELP = `nestjs-lock: distributed locks of the NestJS module of that name, for scripts and operators

  nestjs-lock run KEY [options] -- PROGRAM [ARGUMENT...]   runs a program under the lock
  nestjs-lock list [PATTERN] [options]                     the keys that are held (* any characters, ? one)
  nestjs-lock inspect KEY [options]                        who holds the key, and who waits
  nestjs-lock release KEY [options]                        asks for the lock, or breaks it
  nestjs-lock dashboard [options]                          serves a page that shows all of it, on 127.0.0.1
  nestjs-lock postgres migrate [options]                   makes the schema of locks in PostgreSQL

Where the locks are, one of (else NESTJS_LOCK_REDIS, _CLUSTER, _REDLOCK, _ETCD or _POSTGRES in the environment):
  --redis URL          one Redis: redis://user:password@host:6379/0, rediss:// for TLS
  --cluster URL,URL    some nodes of a Redis Cluster
  --redlock URL,URL,URL  all nodes of a quorum
  --etcd HOST,HOST     some members of an etcd cluster: http://host:2379
  --postgres URL       PostgreSQL: postgres://user:password@host:5432/database
  --schema NAME        as in the application, of --postgres (default nestjs_lock)
  --namespace NAME     as in the application (default nestjs-lock)
  --failover-grace on|strict|off  as in the application, of --redis (default off)

Of run; durations such as 500 (milliseconds), 30s, 2m:
  --ttl DURATION       how long the lease lives without renewal (default 30s)
  --wait DURATION      how long to wait for the lock; 0 tries once, Infinity never gives up (default 10s)
  --shared             as a reader, beside other readers
  --limit N            up to N at once, none of them with another N
  --min-hold DURATION  the key stays taken for so long, however quick the program is
  --max-hold DURATION  the program is stopped then
  --kill-after DURATION  from SIGTERM to SIGKILL when it is stopped (default 5s, or a quarter of ttl or max-hold)
  --label TEXT         what list and inspect show of it (default the program's name)
  --verbose            say on stderr what becomes of the lock

The program finds LOCK_KEY and LOCK_FENCING_TOKEN in its environment. SIGINT, SIGTERM and SIGHUP are
passed on to it. When the lock may not be renewed, the program and its children get SIGTERM, and
SIGKILL before the lease ends, also while nestjs-lock itself is stopped.

Of release:
  --force              break the lock; who holds it still runs. Else the holder is asked, and waited for
  --reason TEXT        what the holder is told
  --grace DURATION     how long it may go on (default 10s)

Of list, inspect and release:
  --json               one JSON document; of list one a line

Of dashboard, which prints the address of the page and ends at SIGINT or SIGTERM:
  --port N             where to listen (default any that is free)
  --writable           the page can ask for locks, and break them

Of postgres migrate, beside --postgres and --schema:
  --unlogged           grants do not wait for the disk, and a crash costs all locks and a pause
  --print              show the SQL instead, for migrations of your own

Exit codes: that of the program, or 128 + n if signal n ended it; else
  ${EXIT.usage}  bad usage                             ${EXIT.lost}  the lock was lost, and the program stopped
  ${EXIT.unavailable}  the backend cannot be reached        ${EXIT.notExecutable} the program cannot be run
  ${EXIT.busy}  others hold the lock                 ${EXIT.notFound} there is no such program
`;

export function version(): string {
  // Of the package: this is dist/esm/cli.
  const manifest = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
