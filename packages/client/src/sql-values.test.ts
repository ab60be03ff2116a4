import { DbError } from '@flotilla/base';
import { expect, it } from 'vitest';
import { columnConverter, parameterText } from './sql-values.ts';

const column = (typeOid: number) => ({
  name: 'c',
  typeOid,
  typeLength: 8,
  typeModifier: -1,
  tableOid: 0,
  attributeNumber: 0,
});

const session = {
  encode: (typeOid: number) => Buffer.from(`text of ${typeOid}`),
  elementOf: () => 0,
};

it('writes parameters as PostgreSQL reads them', () => {
  expect(parameterText(null)).toBeNull();
  expect(parameterText("it's")).toBe("it's");
  expect(parameterText(1.5e300)).toBe('1.5e+300');
  expect(parameterText(-0)).toBe('-0');
  expect(parameterText(Number.NaN)).toBe('NaN');
  expect(parameterText(Number.POSITIVE_INFINITY)).toBe('Infinity');
  expect(parameterText(2n ** 63n - 1n)).toBe('9223372036854775807');
  expect(parameterText(true)).toBe('true');
  expect(parameterText(new Date(Date.UTC(2026, 1, 3, 4, 5, 6, 7)))).toBe(
    '2026-02-03T04:05:06.007Z',
  );
  expect(parameterText(new Date('+012026-01-01T00:00:00Z'))).toBe('12026-01-01T00:00:00.000Z');
  expect(parameterText(new Date('-000043-03-15T12:00:00Z'))).toBe('0044-03-15T12:00:00.000Z BC');
});

it('refuses what is no parameter', () => {
  const notParameters: unknown[] = [
    undefined,
    new Map(),
    [undefined],
    () => 1,
    new Date(Number.NaN),
  ];
  for (const value of notParameters)
    expect(() => parameterText(value as string)).toThrowError(DbError);
});

it('gives timestamptz as a Date, cut towards the past, and leaves all else alone', () => {
  const toDate = columnConverter(session, column(1184));
  expect(toDate(0n)).toEqual(new Date('2000-01-01T00:00:00Z'));
  expect(toDate(1_999n)).toEqual(new Date('2000-01-01T00:00:00.001Z'));
  expect(toDate(-1n)).toEqual(new Date('1999-12-31T23:59:59.999Z'));
  expect(toDate(-2_000n)).toEqual(new Date('1999-12-31T23:59:59.998Z'));
  expect(toDate(2n ** 63n - 1n)).toBe(Number.POSITIVE_INFINITY);
  expect(toDate(-(2n ** 63n))).toBe(Number.NEGATIVE_INFINITY);
  expect(toDate(null)).toBeNull();
  const same = columnConverter(session, column(20));
  expect(same(2n ** 60n)).toBe(2n ** 60n);
});
