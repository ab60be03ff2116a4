import pg from 'pg';
import { expect, it } from 'vitest';
import { judge, longestGap } from './pg-writer.ts';

function databaseError(code: string): pg.DatabaseError {
  const error = new pg.DatabaseError('told by the server', 20, 'error');
  error.code = code;
  return error;
}

it('takes for unknown whatever is not surely refused', () => {
  expect(judge(databaseError('40001'))).toBe('refused');
  expect(judge(databaseError('53300'))).toBe('refused');
  expect(judge(databaseError('40003'))).toBe('unknown');
  expect(judge(databaseError('57P01'))).toBe('unknown');
  expect(judge(databaseError('XX000'))).toBe('unknown');
  expect(judge(new Error('Connection terminated unexpectedly'))).toBe('unknown');
  expect(judge(databaseError('23505'))).toBe('impossible');
  expect(judge(databaseError('42P01'))).toBe('impossible');
});

it('measures gaps at both ends and in the middle', () => {
  expect(longestGap([], 10, 20)).toBe(10);
  expect(longestGap([12, 13, 19], 10, 20)).toBe(6);
  expect(longestGap([19, 5, 11, 30], 10, 20)).toBe(8);
  expect(longestGap([14, 14.5], 10, 20)).toBe(5.5);
});
