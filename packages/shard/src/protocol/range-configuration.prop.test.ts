/** Wishes are looked up as they are where all of them are looked at. */
import { compareBytes, rootEndKey, type Span, spanContains } from '@flotilla/base';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  type RangeConfiguration,
  RangeConfigurations,
  type RangeWishes,
} from './range-configuration.ts';

/** Of people: what the cluster keeps of itself follows rules of its own. */
const byte = fc.integer({ min: 8, max: 28 });
const key = fc
  .tuple(byte, fc.array(byte, { maxLength: 1 }))
  .map(([first, more]) => Uint8Array.of(first, ...more));
const span: fc.Arbitrary<Span> = fc
  .tuple(key, key)
  .filter(([a, b]) => compareBytes(a, b) !== 0)
  .map(([a, b]) =>
    compareBytes(a, b) < 0 ? { startKey: a, endKey: b } : { startKey: b, endKey: a },
  );
const wish: fc.Arbitrary<RangeConfiguration> = fc
  .record({
    at: span,
    replicas: fc.constantFrom(undefined, 1, 3, 5),
    splitBytes: fc.constantFrom(undefined, 60, 600),
    leasePreference: fc.constantFrom(undefined, 'a', 'b'),
  })
  .map(({ at, ...wishes }) => ({ ...at, ...wishes }));

/** The narrower span wins, field by field; of those that begin together the one that ends first is narrower. */
function wantedAt(all: readonly RangeConfiguration[], at: Uint8Array): RangeWishes {
  const here = all
    .filter((each) => spanContains(each, at))
    .sort((a, b) => compareBytes(b.startKey, a.startKey) || compareBytes(a.endKey, b.endKey));
  const first = <Name extends keyof RangeWishes>(name: Name): RangeWishes[Name] =>
    here.find((each) => each[name] !== undefined)?.[name];
  return {
    replicas: first('replicas'),
    splitBytes: first('splitBytes'),
    leasePreference: first('leasePreference'),
  };
}

const unique = <T extends RangeConfiguration>(all: T[]): T[] => [
  ...new Map(all.map((each) => [`${each.startKey}/${each.endKey}`, each])).values(),
];

it('knows what is wanted at a key', () => {
  fc.assert(
    fc.property(fc.array(wish, { maxLength: 12 }), fc.array(key), (drawn, keys) => {
      const all = unique(drawn);
      const configurations = new RangeConfigurations(all);
      for (const at of [...keys, ...all.flatMap(({ startKey, endKey }) => [startKey, endKey])])
        expect(configurations.at(at)).toEqual(wantedAt(all, at));
    }),
  );
});

it('cuts a range in the middle of the places where it has to be cut, until it is cut at all of them', () => {
  fc.assert(
    fc.property(fc.array(wish, { maxLength: 12 }), span, (all, range) => {
      const configurations = new RangeConfigurations(all);
      const wanted = new Set(
        all
          .flatMap(({ startKey, endKey }) => [startKey, endKey])
          .filter((at) => spanContains(range, at) && compareBytes(at, rootEndKey) >= 0)
          .filter((at) => compareBytes(at, range.startKey) > 0)
          .map(String),
      );
      const cuts: string[] = [];
      const depthOf = (part: Span): number => {
        const at = configurations.boundaryIn(part);
        if (at === undefined) return 0;
        cuts.push(String(at));
        const left = depthOf({ startKey: part.startKey, endKey: at });
        return 1 + Math.max(left, depthOf({ startKey: at, endKey: part.endKey }));
      };
      expect(depthOf(range)).toBe(Math.ceil(Math.log2(wanted.size + 1)));
      expect(cuts.sort()).toEqual([...wanted].sort());
    }),
  );
});
