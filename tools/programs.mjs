// The programs that the tests start themselves: a real redis-server, a real etcd and its etcdctl, a real
// PostgreSQL and a pgbouncer before it, openssl for their TLS, a C compiler for the shim that moves a clock,
// and Chromium, which looks at the dashboard.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Each with the packages that Debian has it in. */
const programs = {
  'redis-server': ['redis-server'],
  etcd: ['etcd-server'],
  etcdctl: ['etcd-client'],
  postgres: ['postgresql'],
  pgbouncer: ['pgbouncer'],
  openssl: ['openssl'],
  cc: ['gcc', 'libc6-dev'],
  chromium: ['chromium'],
};

/**
 * Makes sure that the programs are there. On Debian and its children they are installed, if that
 * needs no password; anywhere else this ends the run and says what to type.
 */
export function ensurePrograms() {
  const missing = Object.keys(programs).filter(isMissing);
  if (missing.length === 0) return;

  const { family, root } = system();
  if (family === 'debian' && root) {
    console.log(`installing ${missing.join(' and ')}, which the tests need`);
    const packages = missing.flatMap((program) => programs[program]);
    const command = [...root, 'sh', '-ec', aptInstall, 'sh', ...packages];
    const { status } = spawnSync(command[0], command.slice(1), { stdio: 'inherit' });
    if (status === 0 && !missing.some(isMissing)) return;
    console.error('the installation failed');
  } else if (process.env.TEST_REDIS_URL && missing.join() === 'redis-server') {
    // Somebody else runs the server. Tests that must stop and start their own fail, and say so.
    console.log('no redis-server here: the tests use the one at TEST_REDIS_URL');
    return;
  }
  console.error(`The tests need ${missing.join(' and ')}. To install:\n\n  ${advice[family]}\n`);
  process.exit(1);
}

const advice = {
  debian:
    'sudo apt-get update && sudo apt-get install redis-server etcd-server etcd-client postgresql pgbouncer openssl gcc libc6-dev chromium',
  alpine:
    'apk add redis postgresql pgbouncer openssl gcc musl-dev chromium && apk add etcd etcd-ctl --repository=https://dl-cdn.alpinelinux.org/alpine/edge/testing',
  fedora: 'sudo dnf install redis etcd postgresql-server pgbouncer openssl gcc chromium',
  arch: 'sudo pacman -S redis postgresql openssl gcc chromium     (and etcd and pgbouncer, from the AUR)',
  darwin: 'brew install redis etcd postgresql pgbouncer openssl chromium && xcode-select --install',
  win32: 'wsl --install     (Redis does not run on Windows itself: run the tests inside WSL)',
  other:
    'redis (7 or newer), etcd (3.4 or newer), PostgreSQL (13 or newer), pgbouncer, openssl, a C compiler and Chromium, by your package manager',
};

// Debian starts a service as soon as it is installed. We want the program only, so we answer
// "no" (101) when the package asks for that, and do not let it start at the next boot either.
const aptInstall = `
  export DEBIAN_FRONTEND=noninteractive
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    trap "rm -f $policy" EXIT
    printf '#!/bin/sh\\nexit 101\\n' > $policy
    chmod +x $policy
  fi
  apt-get update
  apt-get install -y --no-install-recommends "$@"
  case "$*" in *redis-server*) systemctl disable redis-server || true ;; esac
  case "$*" in *etcd-server*) systemctl disable etcd || true ;; esac
  case "$*" in *postgresql*) systemctl disable postgresql || true ;; esac
  case "$*" in *pgbouncer*) systemctl disable pgbouncer || true ;; esac
`;

/** Where Debian puts the programs of each version of PostgreSQL, and a daemon that only root starts. */
const POSTGRESQL = '/usr/lib/postgresql';
const DAEMONS = '/usr/sbin';

function isMissing(program) {
  if (spawnSync(program, ['--version']).error === undefined) return false;
  const versions = existsSync(POSTGRESQL) ? readdirSync(POSTGRESQL) : [];
  const folders = [DAEMONS, ...versions.map((version) => join(POSTGRESQL, version, 'bin'))];
  return !folders.some((folder) => existsSync(join(folder, program)));
}

/** What kind of system this is, and the command that makes us root there, if one does. */
function system() {
  if (process.platform !== 'linux') {
    return { family: process.platform in advice ? process.platform : 'other' };
  }
  const release = readFileSync('/etc/os-release', 'utf8');
  const ids = [...release.matchAll(/^ID(?:_LIKE)?="?([^"\n]*)/gm)].flatMap(([, id]) =>
    id.split(' '),
  );
  const family = ids.find((id) => id in advice) ?? 'other';
  if (process.getuid() === 0) return { family, root: ['env'] };
  if (spawnSync('sudo', ['-n', 'true']).status === 0) return { family, root: ['sudo', '-n'] };
  return { family };
}
