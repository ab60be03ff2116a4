import type { RangeInfo } from '@flotilla/shard/protocol';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RangeCache } from './range-cache.ts';

/** Keys are one byte, so that a naive model can remember every one of them. */
const keySpace = 24;

interface Told {
  readonly rangeId: number;
  readonly generation: number;
  readonly start: number;
  readonly end: number;
  readonly term: number;
  readonly leaseholder: number;
}

function infoOf(told: Told): RangeInfo {
  return {
    descriptor: {
      rangeId: told.rangeId,
      startKey: Uint8Array.of(told.start),
      endKey: Uint8Array.of(told.end),
      generation: told.generation,
      replicas: [1, 2, 3].map((storeId) => ({ replicaId: storeId, storeId })),
    },
    leaseholderStoreId: told.leaseholder,
    term: told.term,
  };
}

/**
 * A history of splits: every range there ever was, with the generation it had then. What a store or the meta range may
 * tell is any one of them, in any order, with any of the range's leaseholders.
 */
const histories = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 8 }).map((splits) => {
  const live = [{ rangeId: 1, generation: 1, start: 0, end: keySpace }];
  const ever = [...live];
  for (const [which, where] of splits) {
    const index = which % live.length;
    const range = live[index];
    if (range === undefined || range.end - range.start < 2) continue;
    const at = range.start + 1 + (where % (range.end - range.start - 1));
    const generation = range.generation + 1;
    const lower = { rangeId: range.rangeId, generation, start: range.start, end: at };
    const upper = { rangeId: ever.length + 100, generation, start: at, end: range.end };
    live.splice(index, 1, lower, upper);
    ever.push(lower, upper);
  }
  return ever;
});

type Step =
  | { readonly kind: 'learn'; readonly which: number; readonly term: number }
  | { readonly kind: 'evict'; readonly key: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('learn' as const),
        which: fc.nat(),
        term: fc.nat(5),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('evict' as const), key: fc.nat(keySpace - 1) }),
    },
  ),
  { maxLength: 40 },
);

it('believes, for every key, the newest descriptor it was told of, and for every range the newest term', () => {
  fc.assert(
    fc.property(histories, steps, (ever, script) => {
      const cache = new RangeCache<never>(() => {});
      const newestOf = new Map<number, Told>();
      const leaseholders = new Map<number, { term: number; storeId: number }>();
      for (const step of script) {
        if (step.kind === 'evict') {
          const piece = cache.find(Uint8Array.of(step.key));
          if (piece === undefined) continue;
          const { rangeId, generation } = piece.range;
          cache.evict(piece.range);
          for (const [key, told] of newestOf)
            if (told.rangeId === rangeId && told.generation === generation) newestOf.delete(key);
          continue;
        }
        const range = ever[step.which % ever.length];
        if (range === undefined) continue;
        // One leaseholder per range and term, as Raft promises.
        const leaseholder = (range.rangeId + step.term) % 4;
        const told = { ...range, term: step.term, leaseholder };
        cache.learn(infoOf(told));
        for (let key = told.start; key < told.end; key++)
          if ((newestOf.get(key)?.generation ?? 0) <= told.generation) newestOf.set(key, told);
        const known = leaseholders.get(told.rangeId);
        if (known === undefined || known.term < told.term)
          leaseholders.set(told.rangeId, { term: told.term, storeId: leaseholder });
      }
      for (let key = 0; key < keySpace; key++) {
        const expected = newestOf.get(key);
        const piece = cache.find(Uint8Array.of(key));
        const seen = piece && [piece.range.rangeId, piece.range.generation];
        expect(seen).toEqual(expected && [expected.rangeId, expected.generation]);
        if (piece === undefined || expected === undefined) continue;
        const { term, leaseholder } = piece.range.state;
        expect({ term, storeId: leaseholder }).toEqual(leaseholders.get(expected.rangeId));
        expect(cache.find(Uint8Array.of(key, 7))).toBe(piece);
        expect(cache.findBefore(Uint8Array.of(key + 1))).toBe(piece);
      }
    }),
    { numRuns: 1000 },
  );
});

it('finds what lies below a key and where a gap begins', () => {
  const cache = new RangeCache<never>(() => {});
  const base = { generation: 1, term: 1, leaseholder: 1 };
  cache.learn(infoOf({ ...base, rangeId: 1, start: 0, end: 4 }));
  cache.learn(infoOf({ ...base, rangeId: 2, start: 8, end: 12 }));
  expect(cache.findBefore(Uint8Array.of(4))?.range.rangeId).toBe(1);
  expect(cache.findBefore(Uint8Array.of(5))).toBeUndefined();
  expect(cache.findBefore(Uint8Array.of(8))).toBeUndefined();
  expect(cache.findBefore(Uint8Array.of(8, 0))?.range.rangeId).toBe(2);
  expect(cache.gapBefore(Uint8Array.of(6))).toEqual(Uint8Array.of(4));
  expect(cache.gapBefore(Uint8Array.of(20))).toEqual(Uint8Array.of(12));
  expect(new RangeCache<never>(() => {}).gapBefore(Uint8Array.of(1))).toBeUndefined();
});

it('ignores what is malformed', () => {
  const cache = new RangeCache<never>(() => {});
  const good = infoOf({ rangeId: 1, generation: 1, start: 2, end: 4, term: 1, leaseholder: 1 });
  const bad: RangeInfo[] = [
    {},
    { descriptor: null },
    { descriptor: { ...good.descriptor, rangeId: 0 } },
    { descriptor: { ...good.descriptor, endKey: Uint8Array.of(1) } },
    { descriptor: { ...good.descriptor, replicas: [] } },
    { descriptor: { ...good.descriptor, replicas: [{ storeId: 0 }] } },
  ];
  for (const info of bad) expect(cache.learn(info)).toBe(false);
  expect(cache.size).toBe(0);
  expect(cache.learn(good)).toBe(true);
});

it('keeps copies of what it is told', () => {
  const cache = new RangeCache<never>(() => {});
  const info = infoOf({ rangeId: 1, generation: 1, start: 2, end: 4, term: 1, leaseholder: 1 });
  cache.learn(info);
  info.descriptor?.startKey?.fill(9);
  expect(cache.find(Uint8Array.of(3))?.range.rangeId).toBe(1);
});
