import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SqlError } from '../sql-error.ts';
import type { TextContext } from './text-codec.ts';
import { utcZone } from './time-zone.ts';
import { type SqlType, textType, typeByName } from './type.ts';
import { decodeValue, encodeValue } from './wire-codec.ts';

const context: TextContext = { zone: utcZone, extraFloatDigits: 1, now: 0n };
const hex = (bytes: Uint8Array | null) => Buffer.from(bytes ?? []).toString('hex');

function typeNamed(name: string): SqlType {
  const type = typeByName(name);
  if (type === undefined) throw new Error(`no type ${name}`);
  return type;
}

const lines = readFileSync(join(import.meta.dirname, '../../testdata/wire.txt'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'));

describe('wire formats are byte-equal to what PostgreSQL 15 sends', () => {
  for (const line of lines) {
    const [name = '', text = '', binary = ''] = line.split('|');
    it(`${name} ${text}`, () => {
      const type = typeNamed(name);
      const fromText = decodeValue(type, 0, Buffer.from(text), context);
      const fromBinary = decodeValue(type, 1, Buffer.from(binary, 'hex'), context);
      expect(fromBinary).toEqual(fromText);
      expect(Buffer.from(encodeValue(type, 0, fromBinary, context) ?? []).toString()).toBe(text);
      expect(hex(encodeValue(type, 1, fromText, context))).toBe(binary);
    });
  }
});

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof SqlError) return error.code;
    throw error;
  }
  return 'no error';
}

describe('bytes that no value has', () => {
  const decode = (name: string, format: 0 | 1, bytes: string) => () =>
    decodeValue(typeNamed(name), format, Buffer.from(bytes, 'hex'), context);

  it('refuses wrong lengths', () => {
    expect(codeOf(decode('int4', 1, '000001'))).toBe('08P01');
    expect(codeOf(decode('int4', 1, '0000000001'))).toBe('22P03');
    expect(codeOf(decode('numeric', 1, '0001000000000000'))).toBe('08P01');
    expect(codeOf(decode('bool', 1, ''))).toBe('08P01');
  });

  it('refuses what is no UTF-8, and NUL', () => {
    expect(codeOf(decode('text', 0, 'ff'))).toBe('22021');
    expect(codeOf(decode('text', 1, '6100'))).toBe('22021');
    expect(codeOf(decode('text', 0, 'eda080'))).toBe('22021');
  });

  it('refuses digits above 9999 and signs that there are not in numeric', () => {
    expect(codeOf(decode('numeric', 1, '00010000000000002710'))).toBe('22P03');
    expect(codeOf(decode('numeric', 1, '0001000012340000000f'))).toBe('22P03');
  });

  it('reads bad texts as input errors', () => {
    expect(codeOf(decode('int4', 0, Buffer.from('x').toString('hex')))).toBe('22P02');
    expect(codeOf(decode('timestamptz', 0, Buffer.from('x').toString('hex')))).toBe('22007');
  });
});

it('gives NULL no bytes', () => {
  expect(encodeValue(textType, 0, null, context)).toBeNull();
});

it('reads back every float8 and numeric that it prints', () => {
  fc.assert(
    fc.property(fc.double(), fc.bigInt(), fc.nat({ max: 40 }), (float, unscaled, scale) => {
      const float8 = typeNamed('float8');
      const text = encodeValue(float8, 0, float, context) ?? new Uint8Array();
      expect(decodeValue(float8, 0, text, context)).toBe(float);
      const numeric = typeNamed('numeric');
      const digits = unscaled
        .toString()
        .replace('-', '')
        .padStart(scale + 1, '0');
      const value = `${unscaled < 0n ? '-' : ''}${digits.slice(0, digits.length - scale)}${scale > 0 ? '.' : ''}${digits.slice(digits.length - scale)}`;
      const binary = encodeValue(numeric, 1, value, context) ?? new Uint8Array();
      expect(decodeValue(numeric, 1, binary, context)).toBe(value);
    }),
    { numRuns: 300 },
  );
});
