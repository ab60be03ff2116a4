/**
 * Runs a SelectPlan: source, filter, grouping, projection, distinct, sort, limit, as one pass over batches. Rows leave as
 * soon as nothing above needs to see more of them.
 */
import { batchRows, workMemoryBytes } from '../limits.ts';
import type { SelectPlan, Source } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { DistinctRows, HashAggregate } from './group.ts';
import { MemoryAccount, type Run, rowBytes } from './run.ts';
import { scanTable } from './scan.ts';
import { rowComparator, sortRows } from './sort.ts';

/** Told while rows are read; the runner of statements decides by it how the catalog is checked. */
export interface ScanFacts {
  /** Rows may have gone missing with a table that was dropped meanwhile. */
  mayHaveMissed: boolean;
}

/** Beyond this many, LIMIT sorts everything. */
const topRowsMax = 10_000;

export async function* runSelect(
  plan: SelectPlan,
  run: Run,
  facts: ScanFacts,
): AsyncGenerator<Row[], void, undefined> {
  const offset = count(plan.offset, run, 'OFFSET') ?? 0;
  const limit = count(plan.limit, run, 'LIMIT');
  if (limit === 0) return;
  const memory = new MemoryAccount(workMemoryBytes);
  const enough = limit === undefined ? undefined : limit + offset;
  let rows = sourceRows(plan, run, facts, enough);
  if (plan.grouping !== undefined) rows = grouped(plan, run, rows, memory);
  let projected = project(plan, run, rows, memory);
  if (plan.sort.length > 0) projected = sorted(plan, run, projected, memory, enough);
  yield* limited(plan, projected, offset, limit);
}

/** Throws 2201W, 2201X. NULL = none. */
function count(
  evaluate: Evaluator | undefined,
  run: Run,
  clause: 'LIMIT' | 'OFFSET',
): number | undefined {
  const value = evaluate?.([], run.evaluation) ?? null;
  if (value === null) return undefined;
  if (Number(value) < 0)
    throw new SqlError(clause === 'LIMIT' ? '2201W' : '2201X', `${clause} must not be negative`);
  return Number(value);
}

async function* sourceRows(
  plan: SelectPlan,
  run: Run,
  facts: ScanFacts,
  enough: number | undefined,
): AsyncGenerator<Row[]> {
  const direct = plan.filter === undefined && plan.grouping === undefined && !plan.distinct;
  const limit = direct && plan.sort.length === 0 ? enough : undefined;
  for await (const batch of readSource(plan.source, run, facts, limit)) {
    const { filter } = plan;
    const rows =
      filter === undefined ? batch : batch.filter((row) => filter(row, run.evaluation) === true);
    if (run.pace.due()) await run.pace.rest();
    if (rows.length > 0) yield rows;
  }
}

async function* readSource(
  source: Source,
  run: Run,
  facts: ScanFacts,
  limit: number | undefined,
): AsyncGenerator<Row[]> {
  switch (source.kind) {
    case 'none':
      yield [[]];
      return;
    case 'values':
      yield source.rows.map((row) => row.map((evaluate) => evaluate([], run.evaluation)));
      return;
    case 'series':
      yield* series(source, run);
      return;
    case 'table':
      if (!source.points) facts.mayHaveMissed = true;
      for await (const batch of scanTable(source, run, limit)) {
        if (batch.missing > 0) facts.mayHaveMissed = true;
        yield [...batch.rows];
      }
  }
}

/** generate_series. NULL arguments give no rows. Throws 22023. */
async function* series(
  source: Extract<Source, { kind: 'series' }>,
  run: Run,
): AsyncGenerator<Row[]> {
  const values = source.arguments.map((evaluate) => evaluate([], run.evaluation));
  if (values.includes(null)) return;
  const [start, stop, step] = values.map((value) => BigInt(value as bigint));
  if (start === undefined || stop === undefined) return;
  const by = step ?? 1n;
  if (by === 0n) throw new SqlError('22023', 'step size cannot equal zero');
  const narrow = source.type.name === 'int4';
  let batch: Row[] = [];
  for (let value = start; by > 0n ? value <= stop : value >= stop; value += by) {
    batch.push([narrow ? Number(value) : value]);
    if (batch.length < batchRows) continue;
    run.pace.check();
    if (run.pace.due()) await run.pace.rest();
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

async function* grouped(
  plan: SelectPlan,
  run: Run,
  rows: AsyncGenerator<Row[]>,
  memory: MemoryAccount,
): AsyncGenerator<Row[]> {
  if (plan.grouping === undefined) return;
  const { having } = plan.grouping;
  const aggregate = new HashAggregate(plan.grouping, memory);
  for await (const batch of rows) {
    run.pace.check();
    for (const row of batch) aggregate.add(row, run.evaluation);
    if (run.pace.due()) await run.pace.rest();
  }
  let batch: Row[] = [];
  for (const row of aggregate.rows()) {
    if (having !== undefined && having(row, run.evaluation) !== true) continue;
    batch.push(row);
    if (batch.length < batchRows) continue;
    yield batch;
    batch = [];
    if (run.pace.due()) await run.pace.rest();
  }
  if (batch.length > 0) yield batch;
}

async function* project(
  plan: SelectPlan,
  run: Run,
  rows: AsyncGenerator<Row[]>,
  memory: MemoryAccount,
): AsyncGenerator<Row[]> {
  const { outputs } = plan;
  const distinct = plan.distinct ? new DistinctRows(plan.outputTypes, memory) : undefined;
  for await (const batch of rows) {
    const projected: Row[] = [];
    for (const row of batch) {
      const output: Datum[] = new Array<Datum>(outputs.length);
      for (let i = 0; i < outputs.length; i++)
        output[i] = outputs[i]?.(row, run.evaluation) ?? null;
      if (distinct === undefined || distinct.isNew(output)) projected.push(output);
    }
    if (run.pace.due()) await run.pace.rest();
    if (projected.length > 0) yield projected;
  }
}

/** Keeps the first rows only, where a limit says how many are enough. */
async function* sorted(
  plan: SelectPlan,
  run: Run,
  rows: AsyncGenerator<Row[]>,
  memory: MemoryAccount,
  enough: number | undefined,
): AsyncGenerator<Row[]> {
  const compare = rowComparator(plan.sort);
  const keep = enough !== undefined && enough <= topRowsMax ? enough : undefined;
  let held: Row[] = [];
  for await (const batch of rows) {
    run.pace.check();
    for (const row of batch) {
      memory.add(rowBytes(row));
      held.push(row);
    }
    if (keep !== undefined && held.length >= keep * 2 + batchRows) {
      held = await sortRows(held, compare, run.pace);
      for (const row of held.splice(keep)) memory.release(rowBytes(row));
    }
  }
  held = await sortRows(held, compare, run.pace);
  for (let at = 0; at < held.length; at += batchRows) yield held.slice(at, at + batchRows);
}

async function* limited(
  plan: SelectPlan,
  rows: AsyncGenerator<Row[]>,
  offset: number,
  limit: number | undefined,
): AsyncGenerator<Row[]> {
  let skip = offset;
  let left = limit ?? Number.POSITIVE_INFINITY;
  for await (const batch of rows) {
    let part = batch;
    if (skip > 0) {
      part = batch.slice(skip);
      skip = Math.max(0, skip - batch.length);
    }
    if (part.length > left) part = part.slice(0, left);
    left -= part.length;
    if (part.length > 0) yield shown(plan, part);
    if (left <= 0) return;
  }
}

/** Without the outputs that only sort. */
function shown(plan: SelectPlan, rows: Row[]): Row[] {
  return plan.visible === plan.outputs.length
    ? rows
    : rows.map((row) => row.slice(0, plan.visible));
}
