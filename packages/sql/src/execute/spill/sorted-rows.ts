/**
 * Rows in order, however many: what memory has no room for is sorted by itself and put into a file, and the files are merged
 * as they are read. Stable: rows that are equal keep the order in which they came.
 */
import { batchRows } from '../../limits.ts';
import type { Row } from '../evaluate.ts';
import { type Batches, inBatches } from '../operator.ts';
import { type Run, rowBytes } from '../run.ts';
import { type RowComparator, sortRows } from '../sort.ts';
import { mergeRuns } from './merge-runs.ts';
import { RowFile } from './row-file.ts';
import { canSpill, spaceOf } from './spilling.ts';

/** Files that are merged at once: each keeps a chunk in memory. */
const runsAtOnce = 64;

export class SortedRows {
  private readonly run: Run;
  private readonly compare: RowComparator;
  private readonly keep: number | undefined;
  private held: Row[] = [];
  private bytes = 0;
  private runs: RowFile[] = [];

  /** @param keep only so many of the first are wanted */
  constructor(run: Run, compare: RowComparator, keep?: number) {
    this.run = run;
    this.compare = compare;
    this.keep = keep;
  }

  /** Throws 53100, 53200, 53400, 57014, 58030. */
  async add(rows: readonly Row[]): Promise<void> {
    const { memory, pace } = this.run;
    let fits = true;
    for (const row of rows) {
      const size = rowBytes(row);
      this.bytes += size;
      fits = memory.take(size) && fits;
      this.held.push(row);
    }
    if (pace.due()) await pace.rest();
    if (this.keep !== undefined && this.held.length >= this.keep * 2 + batchRows)
      await this.cut(this.keep);
    if (!fits && canSpill(this.run, this.bytes)) await this.spill();
  }

  /** All of them, once; adding is over. */
  async *read(): Batches {
    const { run, compare } = this;
    this.held = await sortRows(this.held, compare, run.pace);
    if (this.runs.length === 0) {
      yield* inBatches(run, this.held);
      return;
    }
    while (this.runs.length > runsAtOnce) await this.mergeSome();
    const sources = this.runs.map((file) => file.drain(run.pace));
    // What is still held came last.
    sources.push(inBatches(run, this.held));
    yield* mergeRuns(sources, compare, run.pace);
  }

  async close(): Promise<void> {
    this.run.memory.release(this.bytes);
    this.bytes = 0;
    this.held = [];
    for (const file of this.runs) await file.close();
  }

  private async cut(keep: number): Promise<void> {
    this.held = await sortRows(this.held, this.compare, this.run.pace);
    for (const row of this.held.splice(keep)) {
      const size = rowBytes(row);
      this.bytes -= size;
      this.run.memory.release(size);
    }
  }

  private async spill(): Promise<void> {
    const { run, compare } = this;
    const sorted = await sortRows(this.held, compare, run.pace);
    this.runs.push(await fileOf(run, inBatches(run, sorted)));
    this.held = [];
    run.memory.release(this.bytes);
    this.bytes = 0;
  }

  /** Neighbours, the oldest, become one: the order in which rows came is kept. */
  private async mergeSome(): Promise<void> {
    const { run, compare } = this;
    const sources = this.runs.slice(0, runsAtOnce).map((file) => file.drain(run.pace));
    const merged = await fileOf(run, mergeRuns(sources, compare, run.pace));
    this.runs = [merged, ...this.runs.slice(runsAtOnce)];
  }
}

async function fileOf(run: Run, batches: Batches): Promise<RowFile> {
  const file = new RowFile(spaceOf(run));
  try {
    for await (const batch of batches) {
      for (const row of batch) file.add(row);
      await file.settle();
    }
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
