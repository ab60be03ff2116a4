import { compareBytes, keySuccessor, type Span } from '@flotilla/base';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { StartKeys } from './start-keys.ts';

const keys = fc.uint8Array({ max: 3, maxLength: 6 });

it('finds what a look at every piece finds', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(keys, { maxLength: 40, comparator: (a, b) => compareBytes(a, b) === 0 }),
      fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }),
      fc.array(keys, { minLength: 1, maxLength: 20 }),
      (starts, touching, asked) => {
        starts.sort(compareBytes);
        const pieces = starts.map((startKey, i): Span => {
          const next = starts[i + 1];
          const endKey = touching[i] === true && next !== undefined ? next : keySuccessor(startKey);
          return { startKey, endKey };
        });
        const index = new StartKeys(pieces);
        for (const key of [...asked, ...starts])
          expect(index.lastAtOrBefore(key)).toBe(
            pieces.findLastIndex(({ startKey }) => compareBytes(startKey, key) <= 0),
          );
        for (const [i, { endKey }] of pieces.entries()) {
          const next = pieces[i + 1];
          const reaches = next !== undefined && compareBytes(endKey, next.startKey) === 0;
          expect(index.reachesNext(i)).toBe(reaches);
        }
      },
    ),
    { numRuns: 500 },
  );
});
