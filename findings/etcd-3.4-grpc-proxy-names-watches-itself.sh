#!/usr/bin/env bash
# etcd 3.4.23 (Debian etcd-server 3.4.23-4), etcd3 1.1.2 (npm): a client of the watch API may
# choose the ids of its watches (WatchCreateRequest.watch_id, for several watches on one stream). A server
# keeps them. `etcd grpc-proxy` ignores them and counts for itself, without an error, so that a client
# that goes by its own ids takes the events of one key for those of another. Here the second watch gets the
# id that was asked for the first: a lock that waits for the key before its own is woken by a stranger's.
#
# Seen:
#   server: asked for 1 (a) and 2 (b): created as 1, 2; a deletion of b is told as 2
#   proxy:  asked for 1 (a) and 2 (b): created as 0, 1; a deletion of b is told as 1
#
# Exits with 0 while that is so, else with 1.
set -euo pipefail
dir=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$dir"
}
trap cleanup EXIT

etcd --version | grep -q '^etcd Version: 3\.4\.23$' || { echo 'needs etcd 3.4.23: apt-get install etcd-server' >&2; exit 2; }
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts etcd3@1.1.2 >/dev/null

free_port() { node -e 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }
client=$(free_port)
peer=$(free_port)
proxy=$(free_port)
etcd --data-dir "$dir/data" --log-level error --name n \
  --listen-client-urls "http://127.0.0.1:$client" --advertise-client-urls "http://127.0.0.1:$client" \
  --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
  --initial-cluster "n=http://127.0.0.1:$peer" >/dev/null 2>&1 &
pids+=($!)
etcd grpc-proxy start --endpoints "127.0.0.1:$client" --listen-addr "127.0.0.1:$proxy" >/dev/null 2>&1 &
pids+=($!)

cat >watch.cjs <<'JS'
const { Etcd3 } = require('etcd3');

const until = async (attempt) => {
  for (let tries = 0; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
};

(async () => {
  const [name, port] = process.argv.slice(2);
  const etcd = new Etcd3({ hosts: `http://127.0.0.1:${port}` });
  await until(() => etcd.put('b').value('1'));
  const stream = await etcd.watchClient.watch();
  const created = [];
  const told = new Promise((resolve) => {
    stream.on('data', async (response) => {
      if (response.created) {
        created.push(response.watch_id);
        if (created.length === 2) await etcd.delete().key('b');
      } else {
        for (const event of response.events) resolve([String(event.kv.key), response.watch_id]);
      }
    });
  });
  for (const [watch_id, key] of [['1', 'a'], ['2', 'b']]) {
    stream.write({ create_request: { watch_id, key: Buffer.from(key) } });
  }
  const [key, id] = await told;
  console.log(
    `${name} asked for 1 (a) and 2 (b): created as ${created.join(', ')}; a deletion of ${key} is told as ${id}`,
  );
  stream.on('error', () => undefined);
  stream.end();
  stream.cancel();
  etcd.close();
})();
JS

timeout 60 node watch.cjs server: "$client" | tee out
timeout 60 node watch.cjs 'proxy: ' "$proxy" | tee -a out
diff out - <<'EXPECTED'
server: asked for 1 (a) and 2 (b): created as 1, 2; a deletion of b is told as 2
proxy:  asked for 1 (a) and 2 (b): created as 0, 1; a deletion of b is told as 1
EXPECTED
