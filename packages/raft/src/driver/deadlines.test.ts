import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Deadlines } from './deadlines.ts';

interface Item {
  readonly name: number;
  deadline: number;
  armedAt: number;
}

it('gives out exactly the items whose latest deadline has come, however often it moved', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.record({ item: fc.nat(5), deadline: fc.nat(100) }),
          fc.record({ advance: fc.nat(30) }),
        ),
        { maxLength: 80 },
      ),
      (steps) => {
        const deadlines = new Deadlines<Item>();
        const items: Item[] = Array.from({ length: 6 }, (_, name) => ({
          name,
          deadline: Infinity,
          armedAt: Infinity,
        }));
        let now = 0;
        for (const step of steps) {
          if ('item' in step) {
            const item = items[step.item];
            if (item === undefined) continue;
            item.deadline = now + step.deadline;
            deadlines.update(item);
            continue;
          }
          now += step.advance;
          const expected = items.filter((item) => item.deadline <= now).map((item) => item.name);
          const due = deadlines.takeDue(now, Infinity).map((item) => item.name);
          expect(due.sort()).toEqual(expected.sort());
          for (const name of due) {
            const item = items[name];
            if (item !== undefined) item.deadline = Infinity;
          }
          const left = Math.min(...items.map((item) => item.deadline));
          expect(deadlines.next()).toBeLessThanOrEqual(left);
          expect(deadlines.next()).toBeGreaterThan(now);
        }
      },
    ),
    { numRuns: 500 },
  );
});
