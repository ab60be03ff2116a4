import { expect, test } from 'vitest';
import { isReadOnly } from './read-only.ts';

test.each([
  'select 1',
  '  SELECT 1',
  '-- why\n select 1',
  '/* a * b */ /**/ select 1',
  '((select 1))',
  'values (1)',
  'table t',
  'show all',
])('%j only reads', (text) => {
  expect(isReadOnly(text)).toBe(true);
});

test.each([
  'insert into t values (1)',
  'with x as (insert into t values (1) returning *) select * from x',
  'selection',
  '/* select */ delete from t',
  '-- select 1',
  '/* unfinished select',
  'explain analyze insert into t values (1)',
  '',
])('%j may write', (text) => {
  expect(isReadOnly(text)).toBe(false);
});
