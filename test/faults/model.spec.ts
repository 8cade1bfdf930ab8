import { MemoryBackend } from 'nestjs-lock';
import { compare } from '../support/model/comparison.js';
it('memory', async () => {
  console.log(
    await compare(new MemoryBackend(), {
      pace: { prompt: 100, haunted: 100, short: 50, late: 50 },
      slow: 1,
      steps: 10_000,
      lanes: 16,
      seed: Number(process.env.MODEL_SEED ?? Date.now() % 1e9),
      shrinking: 20_000,
    }),
  );
}, 60_000);
