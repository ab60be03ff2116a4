import type { Datum } from '@flotilla/sql';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { column } from '../testing/scripted-session.ts';
import type { Format } from './backend-messages.ts';
import { writeDataRow } from './data-row.ts';
import { OutputBuffer } from './output-buffer.ts';

const encode = (): Uint8Array => Buffer.from('encoded');

/** The values of one encoded row, by PostgreSQL's documentation of DataRow. */
function encoded(
  types: readonly number[],
  row: readonly Datum[],
  formats: readonly Format[],
): (Buffer | null)[] {
  const output = new OutputBuffer();
  output.writeByte(0xff); // something before it
  const columns = types.map((type) => column('c', type));
  writeDataRow(output, { columns, formats, encode }, row);
  const message = output.take().subarray(1);
  expect(message.toString('latin1', 0, 1)).toBe('D');
  expect(message.readInt32BE(1)).toBe(message.length - 1);
  expect(message.readUInt16BE(5)).toBe(row.length);
  const values: (Buffer | null)[] = [];
  let at = 7;
  for (const _ of row) {
    const length = message.readInt32BE(at);
    at += 4;
    values.push(length === -1 ? null : message.subarray(at, at + length));
    at += Math.max(0, length);
  }
  expect(at).toBe(message.length);
  return values;
}

describe('rows', () => {
  test('in text', () => {
    const row = [
      -5,
      32_767,
      4_294_967_295,
      -9_223_372_036_854_775_808n,
      true,
      false,
      'ü',
      '',
      null,
    ];
    const values = encoded([23, 21, 26, 20, 16, 16, 25, 1043, 25], row, []);
    expect(values.map((value) => value?.toString())).toEqual([
      '-5',
      '32767',
      '4294967295',
      '-9223372036854775808',
      't',
      'f',
      'ü',
      '',
      undefined,
    ]);
  });

  test('in binary', () => {
    const row = [-5, -2, 4_294_967_295, 2n ** 62n + 5n, -1n, true, 'ü', null];
    const values = encoded([23, 21, 26, 20, 20, 16, 25, 23], row, [1]);
    expect(
      values
        .slice(0, 2)
        .concat(values.slice(3))
        .map((value) => value?.toString('hex')),
    ).toEqual([
      'fffffffb',
      'fffe',
      '4000000000000005',
      'ffffffffffffffff',
      '01',
      'c3bc',
      undefined,
    ]);
  });

  test('of other types go through the codec, in the format of their column', () => {
    const asked: [number, Format][] = [];
    const output = new OutputBuffer();
    const columns = [column('a', 701), column('b', 1184), column('c', 23)];
    const codec = (type: number, format: Format): Uint8Array | null => {
      asked.push([type, format]);
      return type === 1184 ? null : Buffer.from('e');
    };
    writeDataRow(output, { columns, formats: [1, 0, 1], encode: codec }, [1.5, 7n, 'not a number']);
    expect(asked).toEqual([
      [701, 1],
      [1184, 0],
      [23, 1],
    ]);
  });

  test('of any numbers and strings come back as they went in', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        fc.string({ unit: 'binary', maxLength: 300 }),
        (int4: number, int8: bigint, text: string) => {
          const asText = encoded([23, 20, 25], [int4, int8, text], []);
          expect(asText.map((value) => value?.toString())).toEqual([
            String(int4),
            String(int8),
            Buffer.from(text).toString(),
          ]);
          const asBinary = encoded([23, 20, 25], [int4, int8, text], [1]);
          expect(asBinary[0]?.readInt32BE(0)).toBe(int4);
          expect(asBinary[1]?.readBigInt64BE(0)).toBe(int8);
          expect(asBinary[2]?.toString()).toBe(Buffer.from(text).toString());
        },
      ),
    );
  });
});
