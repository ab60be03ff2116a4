import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NumberTable } from './number-table.ts';

/** Few, so that they meet often; some that only differ in their high bits. */
const ids = fc.oneof(
  fc.integer({ min: 1, max: 40 }),
  fc.integer({ min: 1, max: 40 }).map((n) => n * 4096),
  fc.integer({ min: 0, max: 40 }).map((n) => Number.MAX_SAFE_INTEGER - n * 2 ** 32),
);
const steps = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), id: ids, value: fc.double({ noNaN: true }) }),
  fc.record({ kind: fc.constant('delete' as const), id: ids }),
  fc.record({ kind: fc.constant('clear' as const), id: ids }),
);

describe('NumberTable', () => {
  it('holds what a Map holds', () => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 300 }), (all) => {
        const table = new NumberTable(-1);
        const map = new Map<number, number>();
        for (const step of all) {
          if (step.kind === 'set') {
            table.set(step.id, step.value);
            map.set(step.id, step.value);
          } else if (step.kind === 'delete') {
            table.delete(step.id);
            map.delete(step.id);
          } else if (step.id === 7) {
            table.clear();
            map.clear();
          }
          expect(table.size).toBe(map.size);
        }
        for (const step of all) expect(table.get(step.id)).toBe(map.get(step.id) ?? -1);
      }),
    );
  });

  it('grows and is emptied', () => {
    const table = new NumberTable(0);
    for (let id = 1; id <= 20_000; id++) table.set(id * 3, id);
    for (let id = 1; id <= 20_000; id++) expect(table.get(id * 3)).toBe(id);
    expect(table.get(4)).toBe(0);
    table.clear();
    expect(table.get(3)).toBe(0);
    expect(table.size).toBe(0);
  });

  it('takes no id that stands for a free place', () => {
    const table = new NumberTable(0);
    expect(() => table.set(0, 1)).toThrow();
    expect(() => table.set(1.5, 1)).toThrow();
  });
});
