import { expect, it } from 'vitest';
import { numbersIn, Outgoing, operationBytes } from './frames.ts';

it('keeps every number in order, over more than it has room for at first', () => {
  const outgoing = new Outgoing();
  const numbers = Array.from({ length: 1000 }, (_, i) => i * 7);
  for (const number of numbers.slice(0, 300)) outgoing.add(number);
  const first = outgoing.take();
  expect(first.length).toBe(300 * operationBytes);
  expect(outgoing.isEmpty).toBe(true);
  for (const number of numbers.slice(300)) outgoing.add(number);
  const both = new Outgoing();
  both.addAll(first);
  both.addAll(outgoing.take());
  expect(numbersIn(both.take())).toEqual(numbers);
});
