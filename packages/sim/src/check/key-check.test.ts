import { expect, it } from 'vitest';
import { KeyHistory, type KeyInput, type KeyOutput } from '../workload/key-history.ts';
import { checkKey } from './key-check.ts';

type Call = readonly [input: KeyInput, calledAt: number, output?: KeyOutput, returnedAt?: number];

const put = (value: string | undefined, from: number, to?: number): Call =>
  to === undefined
    ? [{ kind: 'write', value }, from]
    : [{ kind: 'write', value }, from, { kind: 'written' }, to];
const get = (value: string | undefined, from: number, to: number): Call => [
  { kind: 'read' },
  from,
  { kind: 'value', value },
  to,
];
const cas = (
  expected: string | undefined,
  value: string,
  from: number,
  to: number,
  found?: number,
): Call => [
  { kind: 'cas', expected, value },
  from,
  { kind: 'cas', applied: found === undefined, foundTimestamp: found ?? 0 },
  to,
];

function check(
  calls: readonly Call[],
  timestamps: Readonly<{ [value: string]: number }> = {},
): number {
  const history = new KeyHistory();
  for (const [value, timestamp] of Object.entries(timestamps)) history.learn('k', timestamp, value);
  for (const [input, calledAt, output, returnedAt] of calls)
    history.add({
      process: 'c',
      input,
      calledAt,
      result:
        output === undefined
          ? { kind: 'unknown' }
          : { kind: 'ok', output, returnedAt: returnedAt ?? calledAt },
    });
  return checkKey('k', history);
}

it('allows what one copy could have shown', () => {
  check([put('a', 0, 1), get('a', 2, 3), put(undefined, 4, 5), get(undefined, 6, 7)]);
  check([put('a', 0, 9), get(undefined, 1, 2), get('a', 3, 4)]);
  check([put('a', 0, 1), cas('a', 'b', 2, 3), get('b', 4, 5), cas('a', 'c', 6, 7, 20)], {
    a: 10,
    b: 20,
  });
});

it('refuses stale reads, lost writes and reads of what was never written', () => {
  const stale = [put('a', 0, 1), put('b', 2, 3), get('a', 4, 5)];
  const lost = [put('a', 0, 1), get(undefined, 2, 3)];
  const invented = [get('x', 0, 1)];
  const undeleted = [put('a', 0, 1), put(undefined, 2, 3), get('a', 4, 5)];
  for (const history of [stale, lost, invented, undeleted])
    expect(() => check(history)).toThrow(/no order/);
});

it('lets an unknown write happen late, or never, but once', () => {
  check([put('a', 0), get(undefined, 1, 2), get('a', 8, 9)]);
  check([put('a', 0), put('b', 1, 2), get('b', 3, 4)]);
  expect(() => check([put('a', 5), get('a', 1, 2)])).toThrow(/no order/);
  expect(() =>
    check([put('a', 0), get('a', 1, 2), put('b', 3, 4), get('a', 5, 6), get('b', 7, 8)]),
  ).toThrow(/no order/);
});

it('holds a refused condition to what it says was there', () => {
  check([put('a', 0, 1), cas(undefined, 'b', 2, 3, 10)], { a: 10 });
  expect(() => check([put('a', 0, 1), cas('a', 'b', 2, 3, 10)], { a: 10 })).toThrow(/no order/);
  expect(() =>
    check([put('a', 0, 1), put('c', 2, 3), cas(undefined, 'b', 4, 5, 10)], { a: 10, c: 30 }),
  ).toThrow(/no order/);
});

it('knows one timestamp by one value', () => {
  const history = new KeyHistory();
  history.learn('k', 10, 'a');
  expect(() => history.learn('k', 10, 'b')).toThrow(/timestamp/);
  expect(() => history.learn('k', 11, 'a')).toThrow(/timestamp/);
});
