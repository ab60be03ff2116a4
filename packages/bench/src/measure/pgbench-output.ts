/** What `pgbench` says of a run: its summary, and its log of single transactions. Pure. */

export interface PgbenchFigures {
  readonly transactions: number;
  readonly failed: number;
  /** Without the time in which clients connect. */
  readonly perSecond: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

/** @param log one line per transaction: `client number microseconds script seconds microseconds …` */
export function pgbenchFigures(summary: string, log: string): PgbenchFigures {
  const figure = (pattern: RegExp): number => {
    const [, digits] = pattern.exec(summary) ?? [];
    if (digits === undefined) throw new Error(`pgbench does not say ${pattern}:\n${summary}`);
    return Number(digits);
  };
  const latencies: number[] = [];
  for (const line of log.split('\n')) {
    // Of one that failed it says so in place of a time.
    const latency = Number(line.split(' ')[2]);
    if (Number.isFinite(latency)) latencies.push(latency);
  }
  latencies.sort((a, b) => a - b);
  const at = (share: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
  return {
    transactions: figure(/transactions actually processed: (\d+)/),
    failed: figure(/number of failed transactions: (\d+)/),
    perSecond: figure(/tps = ([\d.]+)/),
    p50: at(0.5),
    p99: at(0.99),
    p999: at(0.999),
  };
}
