import { expect, it } from 'vitest';
import { sysbenchFigures } from './sysbench-output.ts';

const report = `sysbench 1.0.20 (using system LuaJIT 2.1.0-beta3)
Running the test with following options:
Number of threads: 8
Initializing random number generator from current time

Latency histogram (values are in milliseconds)
       value  ------------- distribution ------------- count
       1.759 |                                         1
       4.910 |****************************************  596
       5.000 |**************************               393
      36.236 |                                         9
     719.923 |                                         1

SQL statistics:
    queries performed:
        read:                            14000
        total:                           20000
    transactions:                        1000   (97.84 per sec.)
    queries:                             20000  (1956.80 per sec.)
    ignored errors:                      3      (0.29 per sec.)
    reconnects:                          0      (0.00 per sec.)

General statistics:
    total time:                          10.2204s
    total number of events:              1000
`;

it('reads the figures and percentiles from the histogram', () => {
  expect(sysbenchFigures(report)).toEqual({
    ...{ transactions: 1000, perSecond: 97.84, errors: 3 },
    ...{ p50: 4910, p99: 5000, p999: 36_236 },
  });
});

it('does not take silence for zero', () => {
  expect(() => sysbenchFigures('FATAL: unable to connect')).toThrow(/does not say/);
  expect(() => sysbenchFigures(report.replace(/^.*\|.*$/gm, ''))).toThrow(/no histogram/);
});
