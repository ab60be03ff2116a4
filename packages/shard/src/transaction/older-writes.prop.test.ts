import fc from 'fast-check';
import { expect, it } from 'vitest';
import { OlderWrites } from './older-writes.ts';

const name = fc.oneof(
  fc.string({ minLength: 1, maxLength: 3, unit: fc.constantFrom('a', 'b', 'ÿ') }),
  fc.string({ minLength: 10, maxLength: 16, unit: fc.constantFrom('a', 'b', 'c', 'd') }),
);

it('older writes are never said to be older than they are, however many there are', () => {
  fc.assert(
    fc.property(
      fc.array(name, { minLength: 1, maxLength: 800, size: 'max' }),
      fc.array(fc.tuple(name, name), { minLength: 10, maxLength: 10 }),
      (names, questions) => {
        const older = new OlderWrites();
        const newest = new Map<string, number>();
        for (const [i, each] of names.entries()) {
          older.add(each, 1 + i);
          newest.set(each, 1 + i);
        }
        for (const [start, end] of questions) {
          expect(older.ofKey(start)).toBeGreaterThanOrEqual(newest.get(start) ?? 0);
          const within = names.map((each, i) => (start <= each && each < end ? 1 + i : 0));
          expect(older.ofSpan(start, end)).toBeGreaterThanOrEqual(Math.max(...within));
        }
      },
    ),
    { numRuns: 200 },
  );
});

it('older writes beyond some hundred beginnings count by shorter ones', () => {
  const older = new OlderWrites();
  for (let i = 0; i < 100_000; i++) older.add(`one ${i}`, 1 + i);
  expect(older.ofKey('one 7')).toBeGreaterThan(0);
  expect(older.ofSpan('two', 'two~')).toBe(0);
  for (let i = 0; i < 1000; i++) older.add(String.fromCharCode(1 + i), 200_000 + i);
  expect(older.ofSpan('two', 'two~')).toBe(200_999);
});
