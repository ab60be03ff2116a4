/** Rows that are missing, old or of nobody must be seen. */
import { expect, it } from 'vitest';
import { rowsFault } from './meta-rows.ts';

const ranges = new Map([
  ['03', 'r1 [, 03) g2'],
  ['ffff', 'r2 [03, ffff) g5'],
]);

it('every range has its row, which says what it is, and there is no other', () => {
  expect(rowsFault(new Map(ranges), ranges)).toBeUndefined();
  expect(rowsFault(new Map([...ranges].slice(1)), ranges)).toBe('no row for r1 [, 03) g2');
  expect(rowsFault(new Map([...ranges, ['ffff', 'r2 [03, ffff) g4']]), ranges)).toBe(
    'the row of r2 [03, ffff) g5 says r2 [03, ffff) g4',
  );
  expect(rowsFault(new Map([...ranges, ['08', 'r2 [03, 08) g4']]), ranges)).toBe(
    'the row at 08 is of no range: r2 [03, 08) g4',
  );
});
