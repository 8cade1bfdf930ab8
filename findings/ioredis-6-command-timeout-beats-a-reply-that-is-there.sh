#!/usr/bin/env bash
# ioredis 6.0.0 and 5.11.1 (npm) on Node 20, Redis 7.0.15 (Debian): with `commandTimeout`, a command is
# rejected with "Command timed out" though its reply has been in the process's socket for long, when the
# event loop was busy for longer than the timeout: Node runs timers before it reads sockets. For a lock it
# matters as the command was carried out: here the SET that says "timed out" holds the key. One turn of
# the event loop more, and the reply would have been read.
#
# Seen, for each of the two:
#   loop busy for 300 of 500 ms: OK
#   loop busy for 800 of 500 ms: Command timed out, and the key is set
#   the reply was read 1 turn later
#
# Exits with 0 while that is so, else with 1.
set -euo pipefail
dir=$(mktemp -d)
pid=
cleanup() {
  if [ -n "$pid" ]; then
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  rm -rf "$dir"
}
trap cleanup EXIT

redis-server --version | grep -q 'v=7\.0\.15 ' || { echo 'needs Redis 7.0.15: apt-get install redis-server' >&2; exit 2; }
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts ioredis6@npm:ioredis@6.0.0 ioredis5@npm:ioredis@5.11.1 >/dev/null
redis-server --port 0 --unixsocket "$dir/redis.sock" --save '' --dir "$dir" >/dev/null &
pid=$!

cat >busy.cjs <<'JS'
const { Redis } = require(process.argv[2]);

const busy = (ms) => {
  for (const end = Date.now() + ms; Date.now() < end; );
};
const turn = () => new Promise((resolve) => setImmediate(resolve));

(async () => {
  const redis = new Redis({ path: 'redis.sock', commandTimeout: 500 });
  const other = new Redis({ path: 'redis.sock' });
  await redis.ping();
  for (const ms of [300, 800]) {
    let state = 'pending';
    let bytes = redis.stream.bytesRead;
    redis.set(`busy:${ms}`, '1').then(
      (reply) => (state = reply),
      (error) => (state = error.message),
    );
    await turn(); // it is written
    bytes = redis.stream.bytesRead;
    busy(ms);
    let turns = 0;
    let readAfter;
    while (state === 'pending' || readAfter === undefined) {
      await turn();
      turns++;
      if (redis.stream.bytesRead > bytes) readAfter ??= turns;
    }
    const set = await other.exists(`busy:${ms}`);
    console.log(`loop busy for ${ms} of 500 ms: ${state}${state === 'OK' ? '' : set ? ', and the key is set' : ''}`);
    if (state !== 'OK') console.log(`the reply was read ${readAfter} turn later`);
  }
  redis.disconnect();
  other.disconnect();
})();
JS

for version in ioredis6 ioredis5; do
  timeout 60 node busy.cjs "$version" | tee out
  diff out - <<'EXPECTED'
loop busy for 300 of 500 ms: OK
loop busy for 800 of 500 ms: Command timed out, and the key is set
the reply was read 1 turn later
EXPECTED
done
