import { InvalidArgumentError } from 'commander';
import { expect, it } from 'vitest';
import { namesAmong, numbersFrom, pattern, wholeNumberFrom } from './command-line.ts';

it('takes what makes sense and refuses what does not', () => {
  expect(numbersFrom(1)('500,1000.5')).toEqual([500, 1000.5]);
  expect(wholeNumberFrom(1)('3')).toBe(3);
  expect(pattern('^kv-(1|64)').test('kv-64')).toBe(true);
  expect(namesAmong(['a', 'b'])('b,a')).toEqual(['b', 'a']);
  for (const refused of [
    () => numbersFrom(1)('500,'),
    () => numbersFrom(1)('0'),
    () => wholeNumberFrom(1)('1.5'),
    () => wholeNumberFrom(1)('many'),
    () => pattern('('),
    () => namesAmong(['a', 'b'])('a,c'),
  ])
    expect(refused).toThrow(InvalidArgumentError);
});
