/** Wishes are looked up as they are where all of them are looked at. */
import {
  compareBytes,
  keyMax,
  rootEndKey,
  type Span,
  spanContains,
  spanContainsSpan,
  systemSpan,
} from '@flotilla/base';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  type RangeConfiguration,
  RangeConfigurations,
  type RangeWishes,
} from './range-configuration.ts';

const byte = fc.integer({ min: 0, max: 20 });
const key = fc.oneof(
  fc.array(byte, { maxLength: 2 }).map((bytes) => Uint8Array.from(bytes)),
  fc.constantFrom(systemSpan.startKey, systemSpan.endKey, keyMax),
);
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
    splitBytes: fc.constantFrom(undefined, 65_536, 131_072),
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

/** With as many replicas of what the cluster keeps of itself as are wanted anywhere, where nobody says otherwise of it. */
function withSystem(all: readonly RangeConfiguration[]): RangeConfiguration[] {
  const most = Math.max(0, ...all.map(({ replicas = 0 }) => replicas));
  const wider = all.filter((each) => spanContainsSpan(each, systemSpan));
  const { replicas = 3 } = wantedAt(wider, systemSpan.startKey);
  const isSaid = wider.some((each) => each.replicas && spanContainsSpan(systemSpan, each));
  return most > replicas && !isSaid ? [...all, { ...systemSpan, replicas: most }] : [...all];
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
        expect(configurations.at(at)).toEqual(wantedAt(withSystem(all), at));
    }),
  );
});

it('cuts a range in the middle of the places where it has to be cut, until it is cut at all of them', () => {
  fc.assert(
    fc.property(fc.array(wish, { maxLength: 12 }), span, (drawn, range) => {
      const all = unique(drawn);
      const configurations = new RangeConfigurations(all);
      const wanted = new Set(
        withSystem(all)
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
