// async-lock: one process only, no ttl. Its queue is bounded at 1,000 waiters by default.

export default {
  name: 'async-lock',
  packages: ['async-lock'],
  store: 'memory',
  async connect() {
    const { default: AsyncLock } = await import('async-lock');
    const lock = new AsyncLock();
    return {
      acquire: (key) =>
        new Promise((entered, failed) => {
          const left = lock.acquire(
            key,
            () => new Promise((leave) => entered({ release: () => (leave(), left) })),
          );
          left.catch(failed);
        }),
    };
  },
};
