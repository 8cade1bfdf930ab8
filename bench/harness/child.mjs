// The other side of actor.mjs: takes one role of one workload, and does what it is told until it is
// killed. Nothing is closed at the end, as the next measurement begins on an empty server.
import { contestants } from '../contestants/index.mjs';

process.on('disconnect', () => process.exit());

let methods;
process.once('message', ({ file, role, contestant, env, parameters }) =>
  answer(async () => {
    const { roles } = await import(file);
    const { connect, library } = contestants.find(({ id }) => id === contestant);
    methods = await roles[role]({ connect: () => connect(env), library, parameters });
    process.on('message', ({ method, args }) => answer(() => methods[method](...args)));
  }),
);

async function answer(work) {
  try {
    process.send({ value: await work() });
  } catch (error) {
    process.send({ error: error?.stack ?? String(error) });
  }
}
