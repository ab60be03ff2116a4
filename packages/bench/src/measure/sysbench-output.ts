/** What `sysbench` says of a run: its report, and the histogram that `--histogram` puts before it. Pure. */

export interface SysbenchFigures {
  readonly transactions: number;
  readonly perSecond: number;
  /** Errors that it ignored, and went on. */
  readonly errors: number;
  /** Microseconds: the upper ends of the histogram's classes, each some 2 % wide. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

export function sysbenchFigures(report: string): SysbenchFigures {
  const [, transactions, perSecond] =
    /transactions:\s+(\d+)\s+\(([\d.]+) per sec\.\)/.exec(report) ?? [];
  const [, errors] = /ignored errors:\s+(\d+)/.exec(report) ?? [];
  if (transactions === undefined || perSecond === undefined || errors === undefined)
    throw new Error(`sysbench does not say how many transactions it made:\n${report}`);
  const classes = [...report.matchAll(/^\s*([\d.]+) \|\**\s+(\d+)$/gm)].map(([, ms, count]) => ({
    microseconds: Number(ms) * 1000,
    count: Number(count),
  }));
  const total = classes.reduce((sum, { count }) => sum + count, 0);
  if (total === 0) throw new Error(`sysbench prints no histogram:\n${report}`);
  const at = (share: number): number => {
    let below = 0;
    for (const { microseconds, count } of classes) {
      below += count;
      if (below >= total * share) return microseconds;
    }
    return classes.at(-1)?.microseconds ?? 0;
  };
  return {
    transactions: Number(transactions),
    perSecond: Number(perSecond),
    errors: Number(errors),
    p50: at(0.5),
    p99: at(0.99),
    p999: at(0.999),
  };
}
