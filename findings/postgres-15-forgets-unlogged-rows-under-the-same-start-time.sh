#!/usr/bin/env bash
# PostgreSQL 15.18 (Debian): when one session is killed by SIGKILL, as the OOM killer does, the server recovers: all
# UNLOGGED tables are empty, all advisory locks are gone, and yet pg_postmaster_start_time() is as before and no
# restart is to be seen. Who keeps leases in an unlogged table, or holds an advisory lock, and looks at the start
# time to learn whether the server forgot, is told that it did not. What tells it is a row in a logged table beside
# a row in an unlogged one.
#
# Seen, before and after a session that has nothing to do with the locks is killed:
#   before: 1 unlogged row, 1 logged row, 1 advisory lock
#   after: 0 unlogged rows, 1 logged row, 0 advisory locks
#   started at the same time, by the same process: yes
#
# Exits with 0 while that is so, else with 1.
set -euo pipefail
bin=/usr/lib/postgresql/15/bin
"$bin/postgres" --version 2>/dev/null | grep -q ' 15\.' || { echo 'needs PostgreSQL 15: apt-get install postgresql-15' >&2; exit 2; }

dir=$(mktemp -d)
server=
cleanup() {
  if [ -n "$server" ]; then
    kill -QUIT "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$dir"
}
trap cleanup EXIT

# It does not run as root.
as=()
if [ "$(id -u)" = 0 ]; then
  as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  chown 65534:65534 "$dir"
fi
cd "$dir"
"${as[@]}" "$bin/initdb" --pgdata="$dir/data" --auth=trust --username=postgres --no-sync >/dev/null
"${as[@]}" "$bin/postgres" -D "$dir/data" -h '' -k "$dir" -F 2>"$dir/log" &
server=$!
ask() { "$bin/psql" -h "$dir" -U postgres -XAtq -c "$1" 2>/dev/null; }
until ask 'SELECT 1' >/dev/null; do sleep 0.1; done

ask 'CREATE UNLOGGED TABLE leases (key text); INSERT INTO leases VALUES (1);
  CREATE TABLE logged (key text); INSERT INTO logged VALUES (1)'
# Two sessions: one holds an advisory lock, the other one sleeps.
ask 'SELECT pg_advisory_lock(7), pg_sleep(600)' >/dev/null &
holder=$!
ask 'SELECT pg_sleep(601)' >/dev/null &
sleeper=$!
state() {
  ask "SELECT (SELECT count(*) FROM leases) || ' ' || (SELECT count(*) FROM logged) || ' ' ||
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
}
identity() { ask 'SELECT pg_postmaster_start_time()' && head -n 1 "$dir/data/postmaster.pid"; }
victim() { ask "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(601)%'"; }
until [ "$(state)" = '1 1 1' ] && [ -n "$(victim)" ]; do sleep 0.1; done
before=$(identity)
read -r unlogged logged advisory <<<"$(state)"

kill -KILL "$(victim)"
wait "$holder" "$sleeper" 2>/dev/null || true
until grep -q 'all server processes terminated' "$dir/log" && ask 'SELECT 1' >/dev/null; do sleep 0.1; done
{
  echo "before: $unlogged unlogged row, $logged logged row, $advisory advisory lock"
  read -r unlogged logged advisory <<<"$(state)"
  echo "after: $unlogged unlogged rows, $logged logged row, $advisory advisory locks"
  echo "started at the same time, by the same process: $([ "$(identity)" = "$before" ] && echo yes || echo no)"
} | tee "$dir/out"
diff "$dir/out" - <<'EXPECTED'
before: 1 unlogged row, 1 logged row, 1 advisory lock
after: 0 unlogged rows, 1 logged row, 0 advisory locks
started at the same time, by the same process: yes
EXPECTED
