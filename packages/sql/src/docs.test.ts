/** docs/sql.md says what the code does. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { aggregates } from './functions/aggregates.ts';
import { scalarFunctions } from './functions/scalar.ts';
import { windowFunctions } from './functions/windows.ts';
import {
  conflictRunsMax,
  expressionDepthMax,
  statementCharactersMax,
  workMemoryBytes,
} from './limits.ts';
import { typeByOid } from './types/type.ts';

const page = readFileSync(join(import.meta.dirname, '../../../docs/sql.md'), 'utf8');

function section(title: string): string {
  const start = page.indexOf(`## ${title}\n`);
  expect(start).toBeGreaterThanOrEqual(0);
  const end = page.indexOf('\n## ', start + 1);
  return page.slice(start, end < 0 ? undefined : end);
}

function quoted(text: string): string[] {
  return [...text.matchAll(/`([a-z0-9_]+)`/g)].map((match) => match[1] ?? '').sort();
}

describe('docs/sql.md', () => {
  it('lists the functions that there are', () => {
    const [functions = '', rest = ''] = section('Functions').split('Aggregates,');
    const built = [...scalarFunctions]
      .filter(([, overloads]) => overloads.some((one) => one.unsupported !== true))
      .map(([name]) => name);
    expect(quoted(functions)).toEqual([...built, 'concat', 'concat_ws'].sort());
    expect(quoted(rest)).toEqual([...aggregates.keys()].sort());
  });

  it('lists the window functions that there are', () => {
    const [listed = ''] = section('Window functions').split(', and every');
    expect(quoted(listed)).toEqual([...windowFunctions.keys()].sort());
  });

  it('lists the types that there are', () => {
    const rows = [...section('Types').matchAll(/^\| `([a-z ]+)` \| (\d+) \| (yes|no)/gm)];
    expect(rows.length).toBeGreaterThan(8);
    for (const [, display, oid, column] of rows) {
      const type = typeByOid(Number(oid));
      expect([display, column]).toEqual([type?.display, type?.storable === true ? 'yes' : 'no']);
      expect(type?.supported).toBe(true);
    }
  });

  it('names the limits that there are', () => {
    const differences = section('Differences from PostgreSQL 15');
    expect(differences).toContain(`${statementCharactersMax / 2 ** 20} Mi characters`);
    expect(differences).toContain(`${expressionDepthMax} levels`);
    expect(differences).toContain(`${conflictRunsMax} runs`);
    expect(differences).toContain(`${workMemoryBytes / 2 ** 20} MiB`);
  });
});
