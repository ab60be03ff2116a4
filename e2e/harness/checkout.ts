/** Where this checkout is, from the sources and from what is built of them. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function rootAbove(directory: string): string {
  if (existsSync(join(directory, 'pnpm-workspace.yaml'))) return directory;
  const above = dirname(directory);
  if (above === directory) throw new Error('this file lies in no checkout of the workspace');
  return rootAbove(above);
}

export const checkout: string = rootAbove(dirname(fileURLToPath(import.meta.url)));

/** The test runner's own settings must not change what the programs do. */
export function childEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _options, VITEST: _vitest, NODE_ENV: _env, ...rest } = process.env;
  return rest;
}
