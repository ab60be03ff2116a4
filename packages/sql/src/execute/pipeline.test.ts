import { describe, expect, it } from 'vitest';
import { pipelined } from './pipeline.ts';

/** A source of numbers that says how far it was drawn and whether it was stopped. */
function numbers(count: number, fails = -1) {
  const seen = { drawn: 0, stopped: false };
  const source = async function* (): AsyncGenerator<number> {
    try {
      for (let i = 0; i < count; i++) {
        seen.drawn = i + 1;
        if (i === fails) throw new Error(`item ${i}`);
        yield i;
      }
    } finally {
      seen.stopped = true;
    }
  };
  return { seen, source };
}

/** Work that ends when it is told to. */
function gates() {
  const open: (() => void)[] = [];
  const work = (item: number): Promise<number> =>
    new Promise((resolve) => {
      open[item] = () => resolve(item * 10);
    });
  return { open, work };
}

async function turns(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

describe('a pipeline', () => {
  it('gives results in the order of the items, whatever ends first', async () => {
    const { source } = numbers(4);
    const { open, work } = gates();
    const found: number[] = [];
    const reading = (async () => {
      for await (const one of pipelined(source(), work, () => 3)) found.push(one);
    })();
    await turns();
    open[2]?.();
    open[1]?.();
    await turns();
    expect(found).toEqual([]);
    open[0]?.();
    await turns();
    expect(found).toEqual([0, 10, 20]);
    open[3]?.();
    await reading;
    expect(found).toEqual([0, 10, 20, 30]);
  });

  it('has so many items in work, and no more', async () => {
    const { source, seen } = numbers(9);
    const { open, work } = gates();
    const results = pipelined(source(), work, (taken) => (taken < 2 ? 2 : 4));
    const first = results.next();
    await turns();
    // One is awaited, two are ahead of it.
    expect(seen.drawn).toBe(3);
    open[0]?.();
    expect(await first).toEqual({ done: false, value: 0 });
    const second = results.next();
    open[1]?.();
    await second;
    void results.next();
    await turns();
    expect(seen.drawn).toBe(7);
  });

  it('one at a time draws nothing before it is wanted', async () => {
    const { source, seen } = numbers(9);
    const results = pipelined(
      source(),
      async (item) => item,
      () => 1,
    );
    await results.next();
    await turns();
    expect(seen.drawn).toBe(1);
    await results.next();
    await turns();
    expect(seen.drawn).toBe(2);
  });

  it('raises errors behind the results before them', async () => {
    const { source } = numbers(9, 2);
    const found: number[] = [];
    const reading = (async () => {
      for await (const one of pipelined(
        source(),
        async (item) => item,
        () => 8,
      ))
        found.push(one);
    })();
    await expect(reading).rejects.toThrow('item 2');
    expect(found).toEqual([0, 1]);
    const failing = pipelined(
      numbers(9).source(),
      async (item) => {
        if (item === 1) throw new Error('work');
        return item;
      },
      () => 8,
    );
    expect(await failing.next()).toEqual({ done: false, value: 0 });
    await expect(failing.next()).rejects.toThrow('work');
  });

  it('stops its source when nobody wants more', async () => {
    const { source, seen } = numbers(100);
    for await (const one of pipelined(
      source(),
      async (item) => item,
      () => 4,
    ))
      if (one === 1) break;
    await turns();
    expect(seen.stopped).toBe(true);
    expect(seen.drawn).toBeLessThan(10);
  });
});
