/** Runs every example: each is a program that checks itself and ends. */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const folder = dirname(fileURLToPath(import.meta.url));
const examples = readdirSync(folder).filter((name) => !name.endsWith('.test.ts'));

describe('examples', () => {
  it('are found', () => {
    expect(examples).toContain('unit-test.ts');
  });

  it.each(examples)('%s runs', async (name) => {
    await import(join(folder, name));
  });
});
