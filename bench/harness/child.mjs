// The other side of actor.mjs: plays one role of one workload, then waits to be killed. Nothing is
// closed at the end, as the next measurement begins on an empty server.
import { contestants } from '../contestants/index.mjs';

process.on('disconnect', () => process.exit());

const { file, role, contestant, env, parameters } = await message();
try {
  const { roles } = await import(file);
  const value = await roles[role]({
    parameters,
    connect: () => contestants.find(({ id }) => id === contestant).connect(env),
    /** Says that all is prepared, and waits for the start. */
    async go() {
      process.send({});
      return (await message()).payload;
    },
    /** Says how far it is, and waits for the next start. */
    async step(value) {
      process.send({ value });
      return (await message()).payload;
    },
  });
  process.send({ value });
} catch (error) {
  process.send({ error: error?.stack ?? String(error) });
}

function message() {
  return new Promise((resolve) => process.once('message', resolve));
}
