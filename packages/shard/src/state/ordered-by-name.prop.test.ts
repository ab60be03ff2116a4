import { compareBytes } from '@flotilla/base';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { namesWithin, orderedByName } from './ordered-by-name.ts';
import { bytesOfName, nameOf } from './transaction-rows.ts';

const key = fc.uint8Array({ maxLength: 2 });

it('names what either of two maps holds within a span, once, in the order of the bytes', () => {
  fc.assert(
    fc.property(
      fc.array(key),
      fc.array(key),
      key,
      key,
      fc.boolean(),
      (a, b, low, high, reverse) => {
        const maps = [a, b].map((keys) => {
          const map = orderedByName<number>();
          for (const each of keys) map.set(nameOf(each), 1);
          return map;
        });
        const [one, other] = maps as [(typeof maps)[0], (typeof maps)[0]];
        const found = [...namesWithin({ startKey: low, endKey: high }, [one, other], reverse)];
        const inside = [...new Set([...a, ...b].map(nameOf))]
          .map(bytesOfName)
          .filter((each) => compareBytes(low, each) <= 0 && compareBytes(each, high) < 0)
          .sort(compareBytes);
        if (reverse) inside.reverse();
        expect(found).toEqual(inside.map(nameOf));
      },
    ),
  );
});
