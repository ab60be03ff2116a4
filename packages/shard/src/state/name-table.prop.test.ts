/** Against a `Map`, with few names and with many. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { NameTable } from './name-table.ts';

const name = fc.nat(14).map((n) => `n${n}`);
const step = fc.oneof(
  { weight: 20, arbitrary: fc.record({ kind: fc.constant('set' as const), name }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('delete' as const), name }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('drain' as const, 'clear' as const), name }),
  },
);

it('holds what a map holds', () => {
  let most = 0;
  fc.assert(
    fc.property(fc.nat(14), fc.array(step, { maxLength: 80 }), (before, steps) => {
      const table = new NameTable<number>();
      const model = new Map<string, number>();
      for (let n = 0; n <= before; n++) {
        table.set(`n${n}`, -n);
        model.set(`n${n}`, -n);
      }
      for (const [i, each] of steps.entries()) {
        if (each.kind === 'set') {
          table.set(each.name, i);
          model.set(each.name, i);
        } else if (each.kind === 'delete') {
          table.delete(each.name);
          model.delete(each.name);
        } else {
          if (each.kind === 'clear') table.clear();
          else for (const known of model.keys()) table.delete(known);
          model.clear();
        }
        most = Math.max(most, model.size);
        expect(table.size).toBe(model.size);
        expect([...table.values()].sort((a, b) => a - b)).toEqual(
          [...model.values()].sort((a, b) => a - b),
        );
        for (let n = 0; n <= 14; n++) expect(table.get(`n${n}`)).toBe(model.get(`n${n}`));
      }
    }),
    { numRuns: 100 },
  );
  expect(most).toBeGreaterThan(9);
});
