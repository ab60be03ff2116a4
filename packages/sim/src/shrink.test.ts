import { expect, it } from 'vitest';
import { minimize } from './shrink.ts';

it('keeps exactly the items that are needed together', async () => {
  const items = Array.from({ length: 50 }, (_, i) => i);
  let runs = 0;
  const left = await minimize(items, async (some) => {
    runs++;
    return [3, 17, 44].every((needed) => some.includes(needed));
  });
  expect(left).toEqual([3, 17, 44]);
  expect(runs).toBeLessThan(100);
});

it('finds that nothing is needed', async () => {
  expect(await minimize([1, 2, 3], async () => true)).toEqual([]);
});

it('keeps everything where everything is needed', async () => {
  expect(await minimize([1, 2, 3], async (some) => some.length === 3)).toEqual([1, 2, 3]);
});
