#!/usr/bin/env bash
# Redis 7.0.15 (Debian): on a Cluster SSUBSCRIBE and SPUBLISH at a node that does not have the channel's
# slot are answered with MOVED. PUBSUB SHARDNUMSUB, also named by channel, is not: it counts 0, as if
# nobody listened anywhere. Who asks it before handing a lock over takes a living waiter for deaf, unless
# the question is asked where the slot is known to be (in a script that has a key of that slot).
#
# Seen, with one subscriber at the owner of the slot:
#   at the owner: SHARDNUMSUB 1, SPUBLISH 1
#   at another node: SHARDNUMSUB 0, SPUBLISH MOVED
#   in a script at another node, with a key of the slot: MOVED
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

redis-server --version | grep -q 'v=7\.0\.15 ' || { echo 'needs Redis 7.0.15: apt-get install redis-server' >&2; exit 2; }

# A node of a Cluster listens at its port and at another one for the other nodes.
read -r -a ports < <(node -e '
const net = require("net");
const servers = Array.from({ length: 4 }, () => net.createServer().listen(0, "127.0.0.1"));
setTimeout(() => {
  console.log(servers.map((server) => server.address().port).join(" "));
  servers.forEach((server) => server.close());
}, 100)')
for index in 0 1; do
  mkdir "$dir/$index"
  redis-server --port "${ports[$index]}" --cluster-enabled yes --cluster-port "${ports[$((index + 2))]}" \
    --bind 127.0.0.1 --save '' --dir "$dir/$index" >/dev/null &
  pids+=($!)
done
ask() { redis-cli -p "${ports[$1]}" "${@:2}" 2>&1; }
until [ "$(ask 0 ping)" = PONG ] && [ "$(ask 1 ping)" = PONG ]; do sleep 0.1; done
ask 0 cluster addslotsrange 0 8191 >/dev/null
ask 1 cluster addslotsrange 8192 16383 >/dev/null
ask 1 cluster set-config-epoch 2 >/dev/null
ask 0 cluster meet 127.0.0.1 "${ports[1]}" "${ports[3]}" >/dev/null
until ask 0 cluster info | grep -q cluster_state:ok && ask 1 cluster info | grep -q cluster_state:ok &&
  ask 1 get foo | grep -qv CLUSTERDOWN && ask 0 spublish foo 1 | grep -q MOVED; do sleep 0.1; done

# The slot of foo is 12182.
redis-cli -p "${ports[1]}" ssubscribe foo >"$dir/heard" 2>/dev/null &
pids+=($!)
until grep -q ssubscribe "$dir/heard"; do sleep 0.1; done

{
  echo "at the owner: SHARDNUMSUB $(ask 1 pubsub shardnumsub foo | tail -n 1), SPUBLISH $(ask 1 spublish foo hello)"
  echo "at another node: SHARDNUMSUB $(ask 0 pubsub shardnumsub foo | tail -n 1), SPUBLISH $(ask 0 spublish foo hello | cut -d ' ' -f 1)"
  echo "in a script at another node, with a key of the slot: $(ask 0 eval "return redis.call('PUBSUB', 'SHARDNUMSUB', 'foo')" 1 foo | head -n 1 | cut -d ' ' -f 1)"
} | tee "$dir/out"
diff "$dir/out" - <<'EXPECTED'
at the owner: SHARDNUMSUB 1, SPUBLISH 1
at another node: SHARDNUMSUB 0, SPUBLISH MOVED
in a script at another node, with a key of the slot: MOVED
EXPECTED
