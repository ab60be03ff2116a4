/** Integers of messages on the wire, as `plainIntegers` (`@flotilla/base`) makes them: against varints of big integers. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { flotilla } from '../gen/raft.js';

const { Entry, Message } = flotilla.raft;

/** Protocol Buffers, "Encoding": seven bits per byte, the lowest first; negative numbers as 64 bits of two's complement. */
function varint(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return [...bytes, Number(rest)];
}

/** Fields 1 and 2 of an entry, and field 8 of a message: varints, and a message of its own. */
const [indexTag, termTag, entriesTag] = [0x08, 0x10, 0x42];
const borders = [7, 14, 21, 28, 31, 32, 35, 42, 49, 53].flatMap((bits) =>
  [-1, 0, 1].map((off) => Math.min(2 ** bits + off, Number.MAX_SAFE_INTEGER)),
);
const safe = fc.oneof(fc.maxSafeInteger(), fc.nat(300), fc.constantFrom(...borders));
const positive = safe.filter((value) => value > 0);
const anyBits = fc
  .oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    safe.map(BigInt),
    fc.constantFrom(-(2n ** 63n), 2n ** 63n - 1n, -1n, -(2n ** 32n), 2n ** 62n),
  )
  .filter((value) => value !== 0n);
/** As an array and as a Buffer: protobufjs has a reader for each. */
const forms = [
  (bytes: number[]) => Uint8Array.from(bytes),
  (bytes: number[]) => Buffer.from(bytes),
];

describe('64-bit integers of messages', () => {
  test('are written as varints, negative ones too', () => {
    fc.assert(
      fc.property(safe, (value) => {
        if (value === 0) return; // not on the wire at all
        const written = [...Entry.encode({ index: value }).finish()];
        expect(written).toEqual([indexTag, ...varint(BigInt(value))]);
      }),
    );
  });

  test('are written where the buffer has to grow for them', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(positive, positive), { maxLength: 60 }), (pairs) => {
        const entries = pairs.map(([index, term]) => ({ index, term }));
        const expected = pairs.flatMap(([index, term]) => {
          const body = [indexTag, ...varint(BigInt(index)), termTag, ...varint(BigInt(term))];
          return [entriesTag, body.length, ...body];
        });
        expect([...Message.encode({ entries }).finish()]).toEqual(expected);
      }),
    );
  });

  test('are read as the nearest number, whatever follows them', () => {
    fc.assert(
      fc.property(anyBits, positive, (value, behind) => {
        const bytes = [indexTag, ...varint(value), termTag, ...varint(BigInt(behind))];
        for (const form of forms) {
          const { index, term } = Entry.decode(form(bytes));
          expect({ index, term }).toEqual({ index: Number(value), term: behind });
        }
      }),
    );
  });

  test('that are cut off are refused', () => {
    fc.assert(
      fc.property(anyBits, fc.nat(9), (value, at) => {
        const bytes = varint(value);
        const cut = bytes.slice(0, Math.min(at, bytes.length - 1));
        for (const form of forms)
          expect(() => Entry.decode(form([indexTag, ...cut]))).toThrow(RangeError);
      }),
    );
  });

  test('end where the message that holds them ends', () => {
    for (const form of forms)
      expect(() => Message.decode(form([entriesTag, 2, indexTag, 0xff, 0x01]))).toThrow(RangeError);
  });

  test('of more than ten bytes are refused', () => {
    const long = [...new Array<number>(10).fill(0xff), 0x01];
    for (const form of forms)
      expect(() => Entry.decode(form([indexTag, ...long]))).toThrow('invalid varint');
  });
});
