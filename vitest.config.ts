import { readdirSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

const packages = readdirSync(new URL('./packages', import.meta.url)).sort();

/** Unit, paper, golden, property and conformance tests run on the sources; `e2e` runs the built programs. */
export default defineConfig({
  ssr: { resolve: { conditions: ['flotilla-source', 'node'] } },
  test: {
    projects: [
      ...packages.map((name) => ({
        extends: true as const,
        test: { name, root: `packages/${name}`, include: ['src/**/*.test.ts'] },
      })),
      {
        extends: true as const,
        test: { name: 'scripts', root: 'scripts', include: ['**/*.test.ts'], testTimeout: 60_000 },
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
        },
      },
    ],
  },
});
