/** Named queries at run time: rows are computed as readers ask for them, once, and kept for the next reader. */
import type { Cte } from '../bind/relation.ts';
import type { SqlType } from '../types/type.ts';
import type { Row } from './evaluate.ts';
import { type HashKey, hashKeyOf } from './hash-key.ts';
import type { Batches, NodeText, Operator } from './operator.ts';
import { type Run, rowBytes } from './run.ts';
import { type RowChunk, RowChunks } from './spill/row-chunks.ts';
import { canSpill, Holding, spaceOf } from './spill/spilling.ts';

/** The named queries of one run of a WITH; those of the WITHs around it behind them. */
export class CteRuns {
  private readonly outer: CteRuns | undefined;
  private readonly buffers = new Map<Cte, CteBuffer>();
  private readonly working = new Map<Cte, readonly Row[]>();

  constructor(outer: CteRuns | undefined) {
    this.outer = outer;
  }

  set(cte: Cte, buffer: CteBuffer): void {
    this.buffers.set(cte, buffer);
  }

  buffer(cte: Cte): CteBuffer {
    const found = this.buffers.get(cte) ?? this.outer?.buffer(cte);
    if (found === undefined) throw new RangeError('a named query runs inside its WITH');
    return found;
  }

  setWorking(cte: Cte, rows: readonly Row[]): void {
    this.working.set(cte, rows);
  }

  workingRows(cte: Cte): readonly Row[] {
    return this.working.get(cte) ?? this.outer?.workingRows(cte) ?? [];
  }

  async close(): Promise<void> {
    for (const buffer of this.buffers.values()) await buffer.close();
  }
}

/** Rows that several readers read, each from the first on. Batches that memory has no room for are in a file. */
export class CteBuffer {
  private readonly batches: (Row[] | RowChunk)[] = [];
  private file: RowChunks | undefined;
  private bytes = 0;
  private readonly source: () => Batches;
  private readonly run: Run;
  private opened: Batches | undefined;
  private reading: Promise<void> | undefined;
  private done = false;

  constructor(source: () => Batches, run: Run) {
    this.source = source;
    this.run = run;
  }

  async *read(): Batches {
    for (let i = 0; ; i++) {
      while (i >= this.batches.length && !this.done) await this.more();
      const batch = this.batches[i];
      if (batch === undefined) return;
      if (this.run.pace.due()) await this.run.pace.rest();
      yield Array.isArray(batch) ? batch : (this.file?.read(batch) ?? []);
    }
  }

  async close(): Promise<void> {
    await this.opened?.return();
    await this.file?.close();
    this.run.memory.release(this.bytes);
    this.bytes = 0;
  }

  /** One reader fetches, others wait for it. */
  private async more(): Promise<void> {
    if (this.reading === undefined) {
      this.reading = this.fetch().finally(() => {
        this.reading = undefined;
      });
    }
    await this.reading;
  }

  private async fetch(): Promise<void> {
    this.opened ??= this.source();
    const next = await this.opened.next();
    if (next.done === true) {
      this.done = true;
      return;
    }
    this.batches.push(await this.placed(next.value));
  }

  /** In memory, or in the file from when there is one. */
  private async placed(batch: Row[]): Promise<Row[] | RowChunk> {
    const { run } = this;
    if (this.file === undefined) {
      let size = 0;
      for (const row of batch) size += rowBytes(row);
      this.bytes += size;
      if (run.memory.take(size) || !canSpill(run, this.bytes)) return batch;
      run.memory.release(size);
      this.bytes -= size;
      this.file = new RowChunks(spaceOf(run));
    }
    return this.file.write(batch);
  }
}

export class CteScanOperator implements Operator {
  readonly inputs: readonly Operator[] = [];
  readonly text: () => NodeText;
  private readonly cte: Cte;
  private readonly working: boolean;

  constructor(cte: Cte, working: boolean, text: () => NodeText) {
    this.cte = cte;
    this.working = working;
    this.text = text;
  }

  async *open(run: Run): Batches {
    if (run.ctes === undefined) throw new RangeError('a named query runs inside its WITH');
    if (!this.working) {
      yield* run.ctes.buffer(this.cte).read();
      return;
    }
    const rows = run.ctes.workingRows(this.cte);
    if (rows.length > 0) yield [...rows];
  }
}

export interface PlannedCte {
  readonly cte: Cte;
  readonly operator: Operator;
  /** It writes: it runs to its end before anything else, whether or not it is read. */
  readonly writes: boolean;
}

/** WITH: its queries are there while the input runs. */
export class WithOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text = undefined;
  readonly ctes: readonly PlannedCte[];
  private readonly input: Operator;

  constructor(ctes: readonly PlannedCte[], input: Operator) {
    this.ctes = ctes;
    this.input = input;
    this.inputs = [input];
  }

  async *open(run: Run, enough?: number): Batches {
    const ctes = await openCtes(this.ctes, run);
    try {
      yield* this.input.open({ ...run, ctes }, enough);
    } finally {
      await ctes.close();
    }
  }
}

/** Starts the queries of a WITH; those that write have run when this returns. */
export async function openCtes(planned: readonly PlannedCte[], run: Run): Promise<CteRuns> {
  const ctes = new CteRuns(run.ctes);
  const inner: Run = { ...run, ctes };
  for (const { cte, operator, writes } of planned) {
    const buffer = new CteBuffer(() => operator.open(inner), run);
    ctes.set(cte, buffer);
    if (!writes) continue;
    for await (const _batch of buffer.read()) run.pace.check();
  }
  return ctes;
}

/** WITH RECURSIVE: the step runs over the rows of the step before until there are none. */
export class RecursiveOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text: () => NodeText;
  private readonly cte: Cte;
  private readonly initial: Operator;
  private readonly step: Operator;
  private readonly key: ((row: Row) => HashKey) | undefined;

  /** @param distinct types of the columns, for UNION; undefined for UNION ALL */
  constructor(
    cte: Cte,
    inputs: readonly [initial: Operator, step: Operator],
    distinct: readonly SqlType[] | undefined,
  ) {
    this.cte = cte;
    this.inputs = inputs;
    [this.initial, this.step] = inputs;
    this.key = distinct === undefined ? undefined : hashKeyOf(distinct);
    this.text = () => ({ head: 'Recursive Union', details: [] });
  }

  async *open(run: Run): Batches {
    const known = new Holding(run.memory);
    try {
      yield* this.steps(run, known);
    } finally {
      known.release();
    }
  }

  /** @param known counts what must not come again */
  private async *steps(run: Run, known: Holding): Batches {
    const seen = new Set<HashKey>();
    const fresh = (batch: Row[]): Row[] => {
      const { key } = this;
      if (key === undefined) return batch;
      return batch.filter((row) => {
        const hash = key(row);
        if (seen.has(hash)) return false;
        seen.add(hash);
        known.add(rowBytes(row));
        return true;
      });
    };
    const ctes = new CteRuns(run.ctes);
    const inner: Run = { ...run, ctes };
    let source = this.initial;
    for (;;) {
      const next: Row[] = [];
      for await (const batch of source.open(inner)) {
        run.pace.check();
        const rows = fresh(batch);
        if (rows.length === 0) continue;
        run.memory.addRows(rows);
        for (const row of rows) next.push(row);
        if (run.pace.due()) await run.pace.rest();
        yield rows;
      }
      for (const row of ctes.workingRows(this.cte)) run.memory.releaseRow(row);
      if (next.length === 0) return;
      ctes.setWorking(this.cte, next);
      source = this.step;
      if (run.pace.due()) await run.pace.rest();
    }
  }
}
