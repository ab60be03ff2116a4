/** What every codec promises: binary and stored forms give the value back, keys order as the type does. */
import { asBuffer, compareBytes, KeyReader, KeyWriter } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import type { TextContext } from './codec.ts';
import { enumType } from './enum.ts';
import { utcZone } from './time-zone.ts';
import { arrayTypeOf, builtInTypes, type SqlType, typeByName } from './type.ts';

const context: TextContext = { zone: utcZone, extraFloatDigits: 1, now: 0n };

/** Texts in the order of their values. */
const samples: Readonly<Record<string, readonly string[]>> = {
  bool: ['f', 't'],
  int2: ['-32768', '-1', '0', '7', '32767'],
  int4: ['-2147483648', '0', '2147483647'],
  int8: ['-9223372036854775808', '-1', '0', '9007199254740993'],
  oid: ['0', '1', '4294967295'],
  float4: ['-Infinity', '-1.5', '0', '0.1', '3e+38', 'Infinity', 'NaN'],
  float8: ['-Infinity', '-1.5', '0', '0.1', '1e+300', 'Infinity', 'NaN'],
  numeric: [
    '-Infinity',
    '-100',
    '-99.5',
    '-1.01',
    '-1',
    '-0.001',
    '0',
    '0.00002',
    '0.5',
    '1',
    '1.25',
    '10',
    '1234567890123456789012',
    'Infinity',
    'NaN',
  ],
  text: ['', 'a', 'ab', 'é', '\uffff', '😀'],
  bpchar: ['', 'a', 'ab', 'b'],
  name: ['a', 'b'],
  char: ['', 'A', 'a'],
  bytea: ['\\x', '\\x00', '\\x0001', '\\x01', '\\xff'],
  date: ['-infinity', '0044-03-15 BC', '1999-12-31', '2020-02-29', 'infinity'],
  time: ['00:00:00', '12:34:56.789', '24:00:00'],
  timetz: ['12:00:00+02', '12:00:00+00', '10:00:00-05'],
  timestamp: ['-infinity', '1999-12-31 23:59:59.999999', '2020-02-29 12:00:00', 'infinity'],
  timestamptz: ['-infinity', '1999-12-31 23:59:59+00', '2020-02-29 12:00:00.5+00', 'infinity'],
  interval: ['-1 mons', '-00:00:01', '00:00:00', '23:59:59.999999', '1 day', '1 mon', '1 year'],
  uuid: ['00000000-0000-0000-0000-000000000000', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
  _int4: ['{}', '{-1}', '{1}', '{1,2}', '{1,NULL}', '{2}'],
  _text: ['{}', '{""}', '{a,"b c"}', '{b}'],
  jsonb: ['null', '"a"', '1', '1.50', 'true', '[1, {"a": null}]', '{"a": 1}'],
  json: ['{"a":  1}', '[1,2]'],
};

const mood = enumType({
  oid: 90_001,
  arrayOid: 90_002,
  schema: 'public',
  name: 'mood',
  labels: [
    { oid: 3, label: 'happy', sortOrder: 3 },
    { oid: 1, label: 'sad', sortOrder: 1 },
    { oid: 2, label: 'ok', sortOrder: 1.5 },
  ],
});

const cases: readonly (readonly [SqlType, readonly string[]])[] = [
  ...Object.entries(samples).map(([name, texts]): [SqlType, readonly string[]] => {
    const type = typeByName(name);
    if (type === undefined) throw new RangeError(`${name} is a type`);
    return [type, texts];
  }),
  [mood, ['sad', 'ok', 'happy']],
];

describe.each(cases.map(([type, texts]) => [type.display, type, texts] as const))(
  '%s',
  (_display, type, texts) => {
    const { codec } = type;
    if (codec === undefined) throw new RangeError(`${type.display} has a codec`);
    const values = texts.map((text) => codec.parse(text, context, type.display));
    const print = (value: (typeof values)[number]) => codec.format(value, context);

    it('prints what it reads', () => {
      expect(values.map(print)).toEqual(texts);
    });

    it('gives values back from the wire and from rows', () => {
      for (const value of values) {
        const sent = asBuffer(codec.send(value, context));
        expect(print(codec.receive(sent, context, type.display))).toBe(print(value));
        if (typeof codec.row !== 'object') continue;
        expect(print(codec.row.decode(asBuffer(codec.row.encode(value))))).toBe(print(value));
      }
    });

    it('has keys that order as its values and, where exact, give them back', () => {
      const { key, compare } = codec;
      if (key === undefined || compare === undefined) return;
      const keys = values.map((value) => {
        const writer = new KeyWriter().begin(new Uint8Array(0));
        key.write(writer, value);
        return writer.finish();
      });
      for (let i = 1; i < values.length; i++) {
        expect(compare(values[i - 1] ?? null, values[i] ?? null)).toBeLessThan(0);
        expect(
          compareBytes(keys[i - 1] ?? new Uint8Array(0), keys[i] ?? new Uint8Array(0)),
        ).toBeLessThan(0);
      }
      keys.forEach((bytes, i) => {
        const read = key.read(new KeyReader(bytes, 0));
        expect(compare(read, values[i] ?? null)).toBe(0);
        if (key.exact) expect(print(read)).toBe(texts[i]);
      });
    });
  },
);

it('knows every array type by its element', () => {
  for (const type of builtInTypes()) {
    const array = arrayTypeOf(type);
    if (array !== undefined) expect(typeByName(`_${type.name}`)).toBe(array);
  }
});
