import { describe, expect, it } from 'vitest';
import { takeAsOfClauses } from './as-of-clause.ts';

describe('AS OF SYSTEM TIME', () => {
  it('takes a call in place of a literal', () => {
    const text = 'select 1 as of system time Follower_Read_Timestamp ( ); select 2';
    const taken = takeAsOfClauses(text);
    expect(taken.clauses).toEqual([{ location: 9, time: 'follower_read_timestamp()' }]);
    expect(taken.text).toBe(`select 1 ${' '.repeat(text.indexOf(';') - 9)}; select 2`);
  });

  it('is taken out of the end of its statement, and nothing moves', () => {
    const text =
      "select 'ä', * from t\n AS of /* x */ system time '-5s' ; begin as of system time '2026-01-01';";
    const taken = takeAsOfClauses(text);
    expect(taken.clauses.map(({ time }) => time)).toEqual(['-5s', '2026-01-01']);
    expect(Buffer.from(text).subarray(taken.clauses[0]?.location).toString()).toMatch(/^AS of/);
    expect(taken.text).toHaveLength(text.length);
    expect(taken.text.replace(/ +/g, ' ')).toBe("select 'ä', * from t\n ; begin ;");
  });

  it.each([
    "select 'as of system time ''-5s'''",
    'select "as of system time" from t',
    "select $$ as of system time '-5s' $$",
    "select $a$ $$ as of system time '-5s' $a$",
    "select 1 -- as of system time '-5s'",
    "select 1 /* as of /* system */ as of system time '-5s' */",
    String.raw`select e'\' as of system time '`,
    'select x as of from system',
  ])('is left alone where it is not meant: %s', (text) => {
    expect(takeAsOfClauses(text)).toEqual({ text, clauses: [] });
  });

  it.each([
    "select * from t as of system time '-5s' where a = 1",
    "select * from (select * from t as of system time '-5s') s",
    'select * from t as of system time now()',
    'select * from t as of system time follower_read_timestamp',
    'select * from t as of system time follower_read_timestamp() where a = 1',
    'select * from t as of system time',
    "select * from t as of system time '–5s'",
  ])('is refused elsewhere, and without a literal: %s', (text) => {
    expect(() => takeAsOfClauses(text)).toThrow(/AS OF SYSTEM TIME/);
  });
});
