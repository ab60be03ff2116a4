/** From samples of several rounds to one figure, and from two figures to a ratio. Pure. */

/** The middle one; of an even number, the mean of the middle two. @param values at least one */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('a median is of at least one value');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}

export type Sample = RateSample | TimeSample;

/** What was done in a given time. */
export interface RateSample {
  readonly kind: 'rate';
  readonly operationsPerSecond: number;
  /** If operations began at a rate that was given: latencies tell systems apart then, and not how many were done. */
  readonly offeredPerSecond?: number;
  readonly errors: number;
  /** What the last failure said. */
  readonly lastError?: string;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Of the system's processes, per 1,000 operations. Unit: s. */
  readonly cpuSecondsPerThousand: number;
  /** Of the load process, per 1,000 operations. Unit: s. */
  readonly loadCpuSecondsPerThousand: number;
  /** The most that the system's processes held together at any time of the turn. Unit: bytes. */
  readonly residentBytes: number;
}

/** How long one thing took. */
export interface TimeSample {
  readonly kind: 'time';
  readonly milliseconds: number;
  readonly residentBytes: number;
}

/** Each figure's own median: they need not be of the same round. Errors add up, memory is the most. */
export function medianSample(samples: readonly Sample[]): Sample {
  const rates = samples.filter((sample) => sample.kind === 'rate');
  const times = samples.filter((sample) => sample.kind === 'time');
  if (rates.length > 0 && times.length > 0)
    throw new TypeError('samples of one workload are of one kind');
  const residentBytes = Math.max(...samples.map((sample) => sample.residentBytes));
  if (times.length > 0) {
    const milliseconds = median(times.map((sample) => sample.milliseconds));
    return { kind: 'time', milliseconds, residentBytes };
  }
  const offered = rates[0]?.offeredPerSecond;
  const of = (pick: (sample: RateSample) => number): number => median(rates.map(pick));
  return {
    kind: 'rate',
    operationsPerSecond: of((sample) => sample.operationsPerSecond),
    ...(offered === undefined ? {} : { offeredPerSecond: offered }),
    errors: rates.reduce((sum, sample) => sum + sample.errors, 0),
    p50: of((sample) => sample.p50),
    p99: of((sample) => sample.p99),
    p999: of((sample) => sample.p999),
    cpuSecondsPerThousand: of((sample) => sample.cpuSecondsPerThousand),
    loadCpuSecondsPerThousand: of((sample) => sample.loadCpuSecondsPerThousand),
    residentBytes,
  };
}

/** How many times better a sample is than another one of its kind: more per second, a shorter p99 at one rate, sooner done. */
export function ratioOf(sample: Sample, first: Sample): number {
  if (sample.kind === 'rate' && first.kind === 'rate')
    return sample.offeredPerSecond === undefined
      ? sample.operationsPerSecond / first.operationsPerSecond
      : first.p99 / sample.p99;
  if (sample.kind === 'time' && first.kind === 'time')
    return first.milliseconds / sample.milliseconds;
  throw new TypeError('samples of one workload are of one kind');
}
