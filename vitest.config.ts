import { readdirSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

const together = { isolate: false, maxWorkers: 2, testTimeout: 120_000, hookTimeout: 120_000 };
const packages = readdirSync(new URL('./packages', import.meta.url)).sort();

/**
 * Unit, paper, golden, property and conformance tests run on the sources, two files at a time, and files share what a
 * worker has imported: no test replaces modules or globals. `e2e` runs the built programs afterwards, with the machine to
 * itself. The time limit of a test only ends what hangs; it is no bound on speed.
 */
export default defineConfig({
  ssr: { resolve: { conditions: ['flotilla-source', 'node'] } },
  test: {
    projects: [
      ...packages.map((name) => ({
        extends: true as const,
        test: { ...together, name, root: `packages/${name}`, include: ['src/**/*.test.ts'] },
      })),
      {
        extends: true as const,
        test: { ...together, name: 'scripts', root: 'scripts', include: ['**/*.test.ts'] },
      },
      {
        extends: true as const,
        test: {
          name: 'e2e',
          root: 'e2e',
          include: ['**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
