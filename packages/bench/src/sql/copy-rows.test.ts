import { expect, it } from 'vitest';
import { copyRows } from './copy-rows.ts';

it('gives every row once, 2,000 to a statement', () => {
  const statements = [...copyRows('t', 4001, (n) => `${n}\tx`)];
  expect(statements).toHaveLength(3);
  for (const text of statements) expect(text).toMatch(/^COPY t FROM STDIN;\n.*\n\\\.\n$/s);
  const rows = statements.flatMap((text) => text.split('\n').slice(1, -2));
  expect(rows).toEqual(Array.from({ length: 4001 }, (_, n) => `${n}\tx`));
  expect([...copyRows('t', 0, String)]).toEqual([]);
});
