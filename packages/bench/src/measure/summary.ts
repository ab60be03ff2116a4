/** From samples of several rounds to one figure, and from two figures to a ratio. Pure. */

/** The middle one; of an even number, the mean of the middle two. @param values at least one */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('a median is of at least one value');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}

export interface Sample {
  readonly operationsPerSecond: number;
  readonly errors: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Of the system's processes, per 1,000 operations. Unit: s. */
  readonly cpuSecondsPerThousand: number;
  /** Of the load process, per 1,000 operations. Unit: s. */
  readonly loadCpuSecondsPerThousand: number;
  /** Of the system's processes together, at the end of the round. Unit: bytes. */
  readonly residentBytes: number;
}

/** Each figure's own median: they need not be of the same round. */
export function medianSample(samples: readonly Sample[]): Sample {
  const of = (pick: (sample: Sample) => number): number => median(samples.map(pick));
  return {
    operationsPerSecond: of((sample) => sample.operationsPerSecond),
    errors: samples.reduce((sum, sample) => sum + sample.errors, 0),
    p50: of((sample) => sample.p50),
    p99: of((sample) => sample.p99),
    p999: of((sample) => sample.p999),
    cpuSecondsPerThousand: of((sample) => sample.cpuSecondsPerThousand),
    loadCpuSecondsPerThousand: of((sample) => sample.loadCpuSecondsPerThousand),
    residentBytes: Math.max(...samples.map((sample) => sample.residentBytes)),
  };
}
