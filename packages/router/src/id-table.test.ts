import fc from 'fast-check';
import { expect, it } from 'vitest';
import { IdTable } from './id-table.ts';

it('is a map, whatever comes and goes, and however ids collide', () => {
  // Ids that share their low bits, also above 32 of them, and their neighbours: long runs that wrap round.
  const id = fc
    .tuple(fc.nat(40), fc.constantFrom(0, 64, 128, 2 ** 32, 2 ** 45))
    .map(([low, high]) => 40 + low + high);
  const step = fc.record({ id, remove: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const table = new IdTable<{ readonly step: number }>();
      const expected = new Map<number, { readonly step: number }>();
      const seen = new Set<number>();
      for (const [at, { id, remove }] of steps.entries()) {
        seen.add(id);
        if (remove) {
          table.delete(id);
          expected.delete(id);
        } else {
          table.set(id, { step: at });
          expected.set(id, { step: at });
        }
        expect(table.size).toBe(expected.size);
      }
      for (const id of seen) expect(table.get(id)).toEqual(expected.get(id));
      const stepsOf = (of: Iterable<{ readonly step: number }>) =>
        [...of].map(({ step }) => step).sort((a, b) => a - b);
      expect(stepsOf(table.all())).toEqual(stepsOf(expected.values()));
    }),
  );
});

it('holds many at once, and is as good as new when they are gone', () => {
  const table = new IdTable<string>();
  const ids = Array.from({ length: 10_000 }, (_, at) => at * 3 + 1);
  for (const id of ids) table.set(id, `${id}`);
  for (const id of ids) expect(table.get(id)).toBe(`${id}`);
  for (const id of ids) table.delete(id);
  expect(table.size).toBe(0);
  expect(table.all()).toEqual([]);
  table.set(7, 'x');
  expect(table.get(7)).toBe('x');
  expect(table.get(8)).toBeUndefined();
});
