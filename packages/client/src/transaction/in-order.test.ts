import { describe, expect, it } from 'vitest';
import { inOrder } from './in-order.ts';

const limits = { sources: 2, weight: 3, weigh: () => 1 };

/** Sources of numbers that say how far they were drawn. */
function sourcesOf(counts: readonly number[]) {
  const drawn = counts.map(() => 0);
  const returned = counts.map(() => false);
  const open = async function* (source: number): AsyncGenerator<number> {
    try {
      for (let i = 0; i < (counts[source] ?? 0); i++) {
        drawn[source] = i + 1;
        yield source * 100 + i;
      }
    } finally {
      returned[source] = true;
    }
  };
  return { drawn, returned, open, names: counts.map((_count, i) => i) };
}

async function turns(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

describe('results in order', () => {
  it('come source by source, whichever is faster', async () => {
    const { open, names } = sourcesOf([2, 5, 0, 1]);
    const found: number[] = [];
    for await (const one of inOrder(names, open, limits)) found.push(one);
    expect(found).toEqual([0, 1, 100, 101, 102, 103, 104, 300]);
  });

  it('are drawn ahead of so many sources, as far as there is room', async () => {
    const { open, names, drawn } = sourcesOf([9, 9, 9]);
    const results = inOrder(names, open, limits);
    await results.next();
    await turns();
    expect(drawn).toEqual([4, 3, 0]);
    await results.return();
  });

  it('end with the consumer', async () => {
    const { open, names, returned } = sourcesOf([9, 9, 9]);
    for await (const _one of inOrder(names, open, limits)) break;
    await turns();
    expect(returned).toEqual([true, true, false]);
  });

  it('raise an error where it stands', async () => {
    const open = async function* (source: number): AsyncGenerator<number> {
      if (source === 1) throw new RangeError('the second');
      for (let i = 0; i < 3; i++) yield i;
    };
    const found: number[] = [];
    const all = async () => {
      for await (const one of inOrder([0, 1, 2], open, limits)) found.push(one);
    };
    await expect(all()).rejects.toThrow('the second');
    expect(found).toEqual([0, 1, 2]);
  });
});
