import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { mutants } from './catalogue.ts';
import { hunt, jobOf } from './hunt.ts';
import { applyChange, type Mutant, mutatedSources } from './mutant.ts';
import { lineOf, pageOf } from './report.ts';
import { builtFile, transpile } from './transpile.ts';
import { verdictOf } from './verdict.ts';

const root = fileURLToPath(new URL('../../../..', import.meta.url));
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

describe('the catalogue fits the tree', () => {
  it('has names of its own for enough bugs', () => {
    const names = mutants.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => !/^[a-z]+(-[a-z]+)*$/.test(name))).toEqual([]);
    expect(names.length).toBeGreaterThanOrEqual(24);
  });

  it.each(mutants)(
    '$name: every text stands in its file once, and the program is another',
    (mutant) => {
      for (const [file, text] of mutatedSources(mutant, read)) {
        expect(existsSync(join(root, file))).toBe(true);
        // Comments and types alone would change nothing that runs.
        expect(transpile(text, file)).not.toBe(transpile(read(file), file));
      }
    },
  );
});
