/** Against a `Map`, which knows no order. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SerialTable } from './serial-table.ts';

const serial = fc.oneof(fc.nat(12), fc.nat(200));
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('next' as const),
      by: fc.integer({ min: 1, max: 3 }),
    }),
  },
  fc.record({
    kind: fc.constantFrom('set' as const, 'delete' as const, 'deleteUpTo' as const),
    serial,
  }),
);

it('holds what a map holds, in the order of serials', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      let table = new SerialTable<string>();
      const model = new Map<number, string>();
      for (const [i, each] of steps.entries()) {
        const value = `v${i}`;
        if (each.kind === 'delete') {
          table.delete(each.serial);
          model.delete(each.serial);
        } else if (each.kind === 'deleteUpTo') {
          table.deleteUpTo(each.serial);
          for (const known of [...model.keys()]) if (known <= each.serial) model.delete(known);
        } else {
          const last = Math.max(0, ...model.keys());
          const at = each.kind === 'next' ? last + each.by : each.serial;
          table.set(at, value);
          model.set(at, value);
        }
        const sorted = [...model].sort(([one], [other]) => one - other);
        expect(table.entries()).toEqual(sorted);
        expect(table.size).toBe(model.size);
        for (let known = 0; known <= 12; known++) {
          expect(table.get(known)).toBe(model.get(known));
          expect(table.has(known)).toBe(model.has(known));
        }
        if (i % 16 !== 15) continue;
        const copy = table.copy();
        table.set(1, 'changes no copy');
        expect(copy.entries()).toEqual(sorted);
        table = copy;
      }
    }),
    { numRuns: 100 },
  );
});
