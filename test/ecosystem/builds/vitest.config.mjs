import swc from 'unplugin-swc';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [swc.vite({ swcrc: false, jsc: { target: 'es2022' } })],
  test: { globals: true, root: import.meta.dirname, include: ['*.spec.ts'] },
});
