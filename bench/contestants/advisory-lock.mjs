// advisory-lock, as its README has it: it opens a connection for each lock and for each waiter, and closes it.
export default {
  name: 'advisory-lock',
  packages: ['advisory-lock'],
  store: 'postgres',
  sessions: true,
  async connect({ postgres }) {
    const { default: advisoryLock } = (await import('advisory-lock')).default;
    const createMutex = advisoryLock(postgres);
    return {
      acquire: async (key) => ({ release: await createMutex(key).lock() }),
    };
  },
};
