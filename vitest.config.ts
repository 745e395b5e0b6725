import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'fuzz/**/*.test.ts'],
    // Loop devices, decoders and child processes: generous, since no test measures time.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Two cores are what CI has; more files at once only fight for them.
    maxWorkers: 2,
    reporters: ['default'],
  },
});
