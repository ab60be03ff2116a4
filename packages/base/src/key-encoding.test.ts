import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareBytes } from './bytes.ts';
import { DbError } from './errors.ts';
import { KeyReader, KeyWriter } from './key-encoding.ts';

type Value =
  | { readonly kind: 'integer'; readonly value: bigint }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'bytes'; readonly value: Uint8Array }
  | { readonly kind: 'boolean'; readonly value: boolean };

function write(writer: KeyWriter, value: Value | null): KeyWriter {
  if (value === null) return writer.null();
  switch (value.kind) {
    case 'integer':
      return writer.integer(value.value);
    case 'float':
      return writer.float(value.value);
    case 'text':
      return writer.text(value.value);
    case 'bytes':
      return writer.bytes(value.value);
    case 'boolean':
      return writer.boolean(value.value);
  }
}

function encode(...values: readonly (Value | null)[]): Uint8Array {
  const writer = new KeyWriter().begin(Uint8Array.of());
  for (const value of values) write(writer, value);
  return writer.finish();
}

/** PostgreSQL's order: NaN is equal to itself and above all, zeros are equal, text by UTF-8 bytes, NULL last. */
function compareValues(a: Value | null, b: Value | null): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (a.kind === 'text' && b.kind === 'text')
    return Buffer.compare(Buffer.from(a.value), Buffer.from(b.value));
  if (a.kind === 'bytes' && b.kind === 'bytes') return Buffer.compare(a.value, b.value);
  if (a.kind === 'float' && b.kind === 'float') {
    const nans = Number(Number.isNaN(a.value)) - Number(Number.isNaN(b.value));
    if (nans !== 0 || Number.isNaN(a.value)) return nans;
  }
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -300n, max: 300n }),
  fc.nat({ max: 63 }).chain((bits) =>
    fc.integer({ min: -2, max: 2 }).map((d) => {
      const value = (1n << BigInt(bits)) + BigInt(d);
      return BigInt.asIntN(64, value);
    }),
  ),
);
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('\0', '\u0001', 'a', 'é', '\uffff', '\u{10000}') }),
);
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 12 }),
  fc.array(fc.constantFrom(0, 1, 0xfe, 0xff), { maxLength: 6 }).map((a) => Uint8Array.from(a)),
);
const float = fc.oneof(
  fc.double(),
  fc.constantFrom(0, -0, Number.NaN, Infinity, -Infinity, 5e-324, -5e-324, 1.7976931348623157e308),
);
const kinds: Readonly<Record<string, fc.Arbitrary<Value>>> = {
  integer: int64.map((value) => ({ kind: 'integer', value })),
  float: float.map((value) => ({ kind: 'float', value })),
  text: text.map((value) => ({ kind: 'text', value })),
  bytes: bytes.map((value) => ({ kind: 'bytes', value })),
  boolean: fc.boolean().map((value) => ({ kind: 'boolean', value })),
};

describe('key encoding', () => {
  for (const [name, arbitrary] of Object.entries(kinds)) {
    const nullable = fc.option(arbitrary, { freq: 12 });
    it(`keeps the order of ${name} values and tells unequal ones apart`, () => {
      fc.assert(
        fc.property(nullable, nullable, (a, b) => {
          expect(Math.sign(compareBytes(encode(a), encode(b)))).toBe(compareValues(a, b));
        }),
        { numRuns: 600 },
      );
    });
    it(`gives no ${name} encoding that is a prefix of another`, () => {
      fc.assert(
        fc.property(nullable, nullable, (a, b) => {
          fc.pre(compareValues(a, b) !== 0);
          const [x, y] = [encode(a), encode(b)];
          const shorter = Math.min(x.length, y.length);
          expect(compareBytes(x.subarray(0, shorter), y.subarray(0, shorter))).not.toBe(0);
        }),
        { numRuns: 300 },
      );
    });
  }

  it('orders composite keys column by column', () => {
    const row = fc.tuple(
      fc.option(kinds.text ?? fc.constant(null), { freq: 8 }),
      fc.option(kinds.integer ?? fc.constant(null), { freq: 8 }),
      fc.option(kinds.bytes ?? fc.constant(null), { freq: 8 }),
    );
    fc.assert(
      fc.property(row, row, (a, b) => {
        let order = 0;
        for (let i = 0; i < 3 && order === 0; i++)
          order = compareValues(a[i] ?? null, b[i] ?? null);
        expect(Math.sign(compareBytes(encode(...a), encode(...b)))).toBe(order);
      }),
      { numRuns: 500 },
    );
  });

  it('reads back what was written', () => {
    fc.assert(
      fc.property(int64, float, text, bytes, fc.boolean(), (i, f, t, b, flag) => {
        const key = new KeyWriter()
          .begin(Uint8Array.of(9))
          .integer(i)
          .float(f)
          .null()
          .text(t)
          .bytes(b)
          .boolean(flag)
          .finish();
        const reader = new KeyReader(key, 1);
        expect(reader.bigInteger()).toBe(i);
        expect(reader.float()).toBe(f + 0);
        expect(reader.takeNull()).toBe(true);
        expect(reader.takeNull()).toBe(false);
        expect(reader.text()).toBe(t);
        expect(Buffer.from(reader.bytes())).toEqual(Buffer.from(b));
        expect(reader.boolean()).toBe(flag);
        expect(reader.offset).toBe(key.length);
      }),
      { numRuns: 500 },
    );
  });

  it('encodes a number and the equal bigint alike', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (n) => {
        const asNumber = new KeyWriter().begin(Uint8Array.of()).integer(n).finish();
        expect(asNumber).toEqual(encode({ kind: 'integer', value: BigInt(n) }));
        expect(new KeyReader(asNumber, 0).integer()).toBe(n);
      }),
    );
  });

  it('keeps small integers in one byte and pins the format', () => {
    const hex = (value: Value | null) => Buffer.from(encode(value)).toString('hex');
    expect(hex({ kind: 'integer', value: 0n })).toBe('80');
    expect(hex({ kind: 'integer', value: 63n })).toBe('bf');
    expect(hex({ kind: 'integer', value: 64n })).toBe('c040');
    expect(hex({ kind: 'integer', value: -64n })).toBe('40');
    expect(hex({ kind: 'integer', value: -65n })).toBe('3fbf');
    expect(hex({ kind: 'integer', value: 2n ** 63n - 1n })).toBe('c77fffffffffffffff');
    expect(hex({ kind: 'integer', value: -(2n ** 63n) })).toBe('388000000000000000');
    expect(hex({ kind: 'text', value: 'a\0b' })).toBe('286100ff620001');
    expect(hex({ kind: 'float', value: 1 })).toBe('30bff0000000000000');
    expect(hex(null)).toBe('f8');
  });

  it('refuses bytes that no writer made', () => {
    const read = (hex: string, use: (reader: KeyReader) => unknown) => () =>
      use(new KeyReader(Buffer.from(hex, 'hex'), 0));
    for (const broken of [
      read('', (r) => r.integer()),
      read('c1', (r) => r.integer()),
      read('c7ffffffffffffffff', (r) => r.bigInteger()),
      read('28', (r) => r.integer()),
      read('82', (r) => r.boolean()),
      read('2861', (r) => r.text()),
      read('28610002', (r) => r.text()),
      read('30bff0', (r) => r.float()),
    ])
      expect(broken).toThrow(DbError);
  });

  it('refuses integers that do not fit 64 bits', () => {
    expect(() => encode({ kind: 'integer', value: 2n ** 63n })).toThrow(RangeError);
    expect(() => new KeyWriter().begin(Uint8Array.of()).integer(1.5)).toThrow(RangeError);
  });
});
