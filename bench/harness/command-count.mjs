// How many commands clients sent. Redis' own counters also count what scripts call, so the nodes are
// watched with MONITOR, which tells the two apart. That slows Redis down: commands are counted in a
// round of their own, of which nothing else is kept.
import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';

/** Counts while `body` runs; resolves to its result and the number of commands. */
export async function countRedisCommands(admins, body) {
  const counters = await Promise.all(admins.map(watch));
  const result = await body();
  const counts = await Promise.all(counters.map((counter) => counter.stop()));
  return { result, commands: counts.reduce((sum, count) => sum + count, 0) };
}

async function watch(admin) {
  const { host, port } = admin.options;
  const socket = connect(port, host);
  let count = 0;
  let rest = '';
  let seen = () => {};
  socket.setEncoding('latin1');
  socket.on('data', (chunk) => {
    const lines = (rest + chunk).split('\r\n');
    rest = lines.pop();
    for (const line of lines) {
      if (line.includes(marker)) seen();
      else if (!line.startsWith(' lua]', line.indexOf(' ', line.indexOf('[')))) count += 1;
    }
  });
  socket.write('MONITOR\r\n');

  // What was sent before the marker was executed before it as well.
  const marker = randomUUID();
  const upToNow = async () => {
    const passed = new Promise((resolve) => (seen = resolve));
    await admin.echo(marker);
    await passed;
    return count;
  };
  await new Promise((resolve) => socket.once('data', resolve));
  const before = await upToNow();
  return {
    async stop() {
      const after = await upToNow();
      socket.destroy();
      return after - before;
    },
  };
}

/** etcd counts the messages of its clients itself: requests, and those within streams. */
export async function countEtcdRequests(url, body) {
  const before = await received(url);
  const result = await body();
  return { result, commands: (await received(url)) - before };
}

async function received(url) {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const counts = metrics.matchAll(/^grpc_server_msg_received_total\{.*\} (\S+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}
