/** What lint cannot say: the core's sources name no source of chance, no time, no promise and no platform. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const banned =
  /\bMath\.random|\bDate\b|\bperformance\b|\bset(Timeout|Interval|Immediate)\b|\basync\b|\bawait\b|\bPromise\b|from 'node:|\blocaleCompare\b|\bWeakRef\b|\bprocess\b/;

test('the core is pure', () => {
  const directory = new URL('./', import.meta.url);
  const sources = readdirSync(directory).filter((name) => !name.endsWith('.test.ts'));
  expect(sources.length).toBeGreaterThan(15);
  for (const name of sources) {
    const code = readFileSync(new URL(name, directory), 'utf8')
      .replace(/\/\*[\s\S]*?\*\//g, '')
      .replace(/\/\/.*$/gm, '');
    expect(code.match(banned)?.[0], name).toBeUndefined();
  }
});
