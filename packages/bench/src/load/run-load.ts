/** Clients that make operations for a time, each in a closed loop or all at one rate; how many, how long each took. */
import { setTimeout as sleep } from 'node:timers/promises';
import { build, type Histogram } from 'hdr-histogram-js';
import { Arrivals } from './arrivals.ts';
import type { KvJob, LoadResult } from './kv-job.ts';
import type { Operation } from './operations.ts';

/** A client whose operation failed tries the next only then: what fails at once must not take the whole processor. */
const pauseAfterErrorMs = 10;
/** How often the clock is looked at for operations that are due. */
const tickMs = 1;

/** @throws Error if no operation succeeded while it was measured */
export async function runLoad(
  operationOf: (number: number) => Operation,
  job: KvJob,
): Promise<LoadResult> {
  const book = new Book();
  const operations = Array.from({ length: job.clients }, (_, i) => operationOf(i));
  const running =
    job.rate === undefined ? closedLoops(operations, book) : atRate(operations, book, job.rate);
  await sleep(job.warmUpSeconds * 1000);
  book.begin();
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  await sleep(job.seconds * 1000);
  book.stopped = true;
  const seconds = (performance.now() - startedAt) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  await running;
  return book.result(seconds, (cpu.user + cpu.system) / 1e6);
}

/** What has been done since the measurement began, until `stopped`. */
class Book {
  stopped = false;
  private histogram: Histogram | undefined;
  private operations = 0;
  private errors = 0;
  private lastError: string | undefined;

  begin(): void {
    this.histogram = build({
      lowestDiscernibleValue: 1,
      highestTrackableValue: 600e6,
      bitBucketSize: 32,
    });
  }

  /** Makes one operation; its latency counts from `from`. Never throws. */
  async make(operation: Operation, from: number): Promise<void> {
    try {
      await operation();
      if (this.histogram === undefined || this.stopped) return;
      this.operations++;
      this.histogram.recordValue(Math.max(1, Math.round((performance.now() - from) * 1000)));
    } catch (error) {
      this.errors++;
      this.lastError = error instanceof Error ? error.message : String(error);
      await sleep(pauseAfterErrorMs);
    }
  }

  result(seconds: number, loadCpuSeconds: number): LoadResult {
    const { histogram, operations, errors, lastError } = this;
    if (histogram === undefined || operations === 0)
      throw new Error(`no operation succeeded; ${errors} failed, the last with: ${lastError}`);
    return {
      ...{ operations, errors, seconds, loadCpuSeconds },
      ...(lastError === undefined ? {} : { lastError }),
      latency: {
        p50: histogram.getValueAtPercentile(50),
        p99: histogram.getValueAtPercentile(99),
        p999: histogram.getValueAtPercentile(99.9),
        max: histogram.maxValue,
        mean: histogram.mean,
      },
    };
  }
}

/** Each client begins the next operation when the last is over. */
async function closedLoops(operations: readonly Operation[], book: Book): Promise<void> {
  const client = async (operation: Operation): Promise<void> => {
    while (!book.stopped) await book.make(operation, performance.now());
  };
  await Promise.all(operations.map(client));
}

/** Operations begin when they are due, as long as a client is free; what waits for one waits at its own cost. */
async function atRate(operations: readonly Operation[], book: Book, rate: number): Promise<void> {
  const arrivals = new Arrivals(rate, performance.now());
  const free = [...operations];
  const busy = new Set<Promise<void>>();
  const begin = (): void => {
    while (!book.stopped) {
      const operation = free.pop();
      if (operation === undefined) return;
      const due = arrivals.take(performance.now());
      if (due === undefined) {
        free.push(operation);
        return;
      }
      const made = book.make(operation, due).then(() => {
        busy.delete(made);
        free.push(operation);
        begin();
      });
      busy.add(made);
    }
  };
  while (!book.stopped) {
    begin();
    await sleep(tickMs);
  }
  await Promise.all(busy);
}
