import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Datum } from '../../session-api.ts';
import { ArrayValue, IntervalValue, RecordValue, TimeTzValue } from '../../types/values.ts';
import { DatumCodec } from './datum-codec.ts';

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const shapes = [
  { types: [{ oid: 23 }, { oid: 25 }], names: ['a', 'b'] },
  { types: [{ oid: 16 }], names: undefined },
];
const { datum } = fc.letrec<{ datum: Datum }>((tie) => ({
  datum: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant(null),
    fc.double(),
    fc.integer(),
    int64,
    fc.boolean(),
    fc.string({ unit: 'binary' }),
    fc.string({ minLength: 1000, maxLength: 1100 }),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc
      .tuple(fc.integer(), fc.integer(), int64)
      .map(([months, days, micros]) => new IntervalValue(months, days, micros)),
    fc.tuple(int64, fc.integer()).map(([micros, offset]) => new TimeTzValue(micros, offset)),
    fc
      .array(tie('datum'), { maxLength: 4 })
      .map((elements) => new ArrayValue(elements, [{ length: elements.length, lower: -3 }])),
    fc
      .tuple(fc.constantFrom(...shapes), fc.array(tie('datum'), { maxLength: 3 }))
      .map(([{ types, names }, values]) => new RecordValue(values, types, names)),
  ),
}));

it('gives back every value as it was', () => {
  const codec = new DatumCodec();
  fc.assert(
    fc.property(fc.array(fc.array(datum, { maxLength: 5 }), { maxLength: 5 }), (rows) => {
      for (const row of rows) codec.encode(row);
      expect(codec.decode(codec.take())).toEqual(rows);
    }),
    { numRuns: 500 },
  );
});

it('keeps minus zero, not-a-number and halves of surrogate pairs of strings that have none', () => {
  const codec = new DatumCodec();
  codec.encode([-0, Number.NaN, 0, 'ÿĀ', 2 ** 31, -(2 ** 31)]);
  const [row] = codec.decode(codec.take());
  expect(row).toEqual([-0, Number.NaN, 0, 'ÿĀ', 2 ** 31, -(2 ** 31)]);
  expect(Object.is(row?.[0], -0)).toBe(true);
});
