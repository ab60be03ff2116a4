import { expect, it } from 'vitest';
import { pgbenchFigures } from './pgbench-output.ts';

const summary = `transaction type: <builtin: TPC-B (sort of)>
number of transactions actually processed: 37
number of failed transactions: 2 (5.128%)
number of transactions retried: 1 (2.564%)
latency average = 216.149 ms
tps = 4.626431 (without initial connection time)
`;

it('reads the summary, and percentiles from the log, where failed transactions have no time', () => {
  const times = Array.from({ length: 100 }, (_, i) => `0 ${i} ${(i + 1) * 10} 0 1700000000 5`);
  const log = [...times.reverse(), '1 7 failed 0 1700000000 9', ''].join('\n');
  expect(pgbenchFigures(summary, log)).toEqual({
    transactions: 37,
    failed: 2,
    perSecond: 4.626431,
    p50: 510,
    p99: 1000,
    p999: 1000,
  });
});

it('does not take silence for zero', () => {
  expect(() => pgbenchFigures('pgbench: error: connection refused', '')).toThrow(/does not say/);
});
