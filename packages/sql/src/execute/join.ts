/**
 * Joins. A joined row is the left row followed by the right one, each cut to the columns that are needed. Outer joins
 * give NULLs for the side that has no match; `semi` and `anti` give the left row alone.
 */
import { batchRows } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import type { Evaluator, Row } from './evaluate.ts';
import type { HashKey } from './hash-key.ts';
import {
  type Batches,
  collect,
  evaluateOnce,
  forEachRow,
  type NodeText,
  type Operator,
} from './operator.ts';
import { buildKeyFilter, filteredKeysMax } from './push/key-filter.ts';
import { type Run, rowBytes, withArguments } from './run.ts';
import { Partitions, partitionCount } from './spill/partitions.ts';
import { canSpill, Holding } from './spill/spilling.ts';
import { resume } from './subplan.ts';

export type PhysicalJoinType = 'inner' | 'left' | 'right' | 'full' | 'semi' | 'anti';

export interface JoinShape {
  readonly type: PhysicalJoinType;
  /** Offsets of the columns that the joined row takes of either side. */
  readonly left: readonly number[];
  readonly right: readonly number[];
  /** Over the joined row: what else must hold. */
  readonly condition: Evaluator | undefined;
}

export function joined(shape: JoinShape, left: Row | undefined, right: Row | undefined): Datum[] {
  const { left: a, right: b } = shape;
  const row = new Array<Datum>(a.length + b.length);
  for (let i = 0; i < a.length; i++) row[i] = left?.[a[i] ?? -1] ?? null;
  for (let i = 0; i < b.length; i++) row[a.length + i] = right?.[b[i] ?? -1] ?? null;
  return row;
}

abstract class Binary {
  readonly inputs: readonly Operator[];
  readonly text: () => NodeText;
  protected readonly left: Operator;
  protected readonly right: Operator;
  protected readonly shape: JoinShape;

  constructor(
    inputs: readonly [left: Operator, right: Operator],
    shape: JoinShape,
    text: () => NodeText,
  ) {
    this.inputs = inputs;
    [this.left, this.right] = inputs;
    this.shape = shape;
    this.text = text;
  }

  /**
   * Joins each row of the left with its candidates of the right, by turns of a batch.
   * @param matched right rows that had a match are put in there, for RIGHT and FULL
   */
  protected async *match(
    run: Run,
    lefts: readonly Row[],
    candidatesOf: (left: Row) => readonly Row[],
    matched: Set<Row> | undefined,
  ): Batches {
    const { shape } = this;
    const { type, condition } = shape;
    const isSemi = type === 'semi' || type === 'anti';
    const keepsLeft = type === 'left' || type === 'full';
    let out: Row[] = [];
    for (const left of lefts) {
      const ready = nowOrLater(run, () => candidatesOf(left));
      const candidates = ready instanceof Promise ? await ready : ready;
      let found = false;
      for (let i = 0; i < candidates.length; i++) {
        const right = candidates[i];
        if (right === undefined) continue;
        const row = joined(shape, left, right);
        if (condition !== undefined) {
          const holds = nowOrLater(run, () => condition(row, run.evaluation));
          if ((holds instanceof Promise ? await holds : holds) !== true) {
            if ((i & 255) === 255 && run.pace.due()) await run.pace.rest();
            continue;
          }
        }
        found = true;
        if (isSemi) break;
        matched?.add(right);
        out.push(row);
        if (out.length >= batchRows) {
          if (run.pace.due()) await run.pace.rest();
          yield out;
          out = [];
        }
      }
      if (isSemi ? found === (type === 'semi') : !found && keepsLeft)
        out.push(
          isSemi
            ? shape.left.map((column) => left[column] ?? null)
            : joined(shape, left, undefined),
        );
    }
    if (run.pace.due()) await run.pace.rest();
    if (out.length > 0) yield out;
  }

  /** Rows of the right that nothing matched. */
  protected async *unmatched(run: Run, rows: Iterable<Row>, matched: ReadonlySet<Row>): Batches {
    let out: Row[] = [];
    for (const right of rows) {
      if (matched.has(right)) continue;
      out.push(joined(this.shape, undefined, right));
      if (out.length < batchRows) continue;
      if (run.pace.due()) await run.pace.rest();
      yield out;
      out = [];
    }
    if (out.length > 0) yield out;
  }
}

/** Rows of the left go on although nothing matches them. */
function keepsLeft(type: PhysicalJoinType): boolean {
  return type === 'left' || type === 'full' || type === 'anti';
}

/** Without a promise where no subquery is waited for. */
function nowOrLater<T>(run: Run, evaluate: () => T): T | Promise<T> {
  try {
    return evaluate();
  } catch (error) {
    return resume(error, run).then(() => evaluateOnce(run, evaluate));
  }
}

/** Whether the condition holds for the row, if there is one. */
export function holdsFor(
  run: Run,
  condition: Evaluator | undefined,
  row: Row,
): boolean | Promise<boolean> {
  if (condition === undefined) return true;
  return nowOrLater(run, () => condition(row, run.evaluation) === true);
}

export interface HashKeys {
  readonly left: readonly Evaluator[];
  readonly right: readonly Evaluator[];
  readonly hash: (row: Row) => HashKey;
}

/** The right side, or a part of it, by key. */
interface HashTable {
  readonly buckets: Map<HashKey, Row[]>;
  /** Of RIGHT and FULL: all rows, those with a NULL in their key included. */
  readonly all: Row[];
  readonly holding: Holding;
}

/** Opens the left side. @param filter of keys that may have a match; it is free to ignore it */
type Lefts = (filter: Uint8Array | undefined) => Batches;

/** Rows with one key cannot be parted; this many levels part everything else. */
const levelsMax = 6;

/**
 * The right side is read into a hash table, then the left side looks its matches up. What is too much for memory is parted by
 * key, both sides alike, and each part is joined by itself.
 */
export class HashJoinOperator extends Binary implements Operator {
  private readonly keys: HashKeys;
  private readonly filters: boolean;

  /** @param filters the left side has a use for a filter of the right side's keys */
  constructor(
    inputs: readonly [left: Operator, right: Operator],
    shape: JoinShape,
    keys: HashKeys,
    text: () => NodeText,
    filters = false,
  ) {
    super(inputs, shape, text);
    this.keys = keys;
    this.filters = filters;
  }

  open(run: Run): Batches {
    const lefts: Lefts = (filter) => this.left.open(run, undefined, filter);
    return this.join(run, lefts, this.right.open(run), 0);
  }

  private async *join(run: Run, lefts: Lefts, rights: Batches, level: number): Batches {
    const holding = new Holding(run.memory);
    try {
      const built = await this.build(run, rights, holding, level);
      if (built instanceof Partitions) yield* this.joinParts(run, lefts, built, level);
      else yield* this.joinTable(run, lefts, built);
    } finally {
      holding.release();
    }
  }

  private get keepsRight(): boolean {
    return this.shape.type === 'right' || this.shape.type === 'full';
  }

  /** @returns the right side's parts, where it does not fit */
  private async build(
    run: Run,
    rights: Batches,
    holding: Holding,
    level: number,
  ): Promise<HashTable | Partitions> {
    const { keepsRight } = this;
    const table: HashTable = { buckets: new Map(), all: [], holding };
    let parts: Partitions | undefined;
    try {
      for await (const batch of rights) {
        const into = parts;
        await forEachRow(run, batch, (row) => {
          const key = this.key(this.keys.right, row, run);
          if (into === undefined) put(table, key, row, keepsRight);
          else if (key !== undefined || keepsRight) into.add(key, row);
        });
        if (run.pace.due()) await run.pace.rest();
        if (into !== undefined) await into.settle();
        else if (!holding.take(batchBytes(batch)) && canSpill(run, holding.bytes)) {
          if (level >= levelsMax) run.memory.check();
          else parts = await this.part(run, table, level);
        }
      }
      return parts ?? table;
    } catch (error) {
      await parts?.close();
      throw error;
    }
  }

  /** What was read so far leaves the memory. */
  private async part(run: Run, table: HashTable, level: number): Promise<Partitions> {
    const parts = new Partitions(run, level);
    let rows = 0;
    for (const [key, bucket] of table.buckets)
      for (const row of bucket) {
        parts.add(key, row);
        if ((++rows & 1023) === 0) await parts.settle();
      }
    // Only rows without a key are in there alone.
    const { keepsRight } = this;
    if (keepsRight)
      await forEachRow(run, table.all, (row) => {
        if (this.key(this.keys.right, row, run) === undefined) parts.add(undefined, row);
      });
    await parts.settle();
    table.buckets.clear();
    table.all.length = 0;
    table.holding.release();
    return parts;
  }

  private async *joinParts(run: Run, lefts: Lefts, rights: Partitions, level: number): Batches {
    const parts = new Partitions(run, level);
    try {
      for await (const batch of lefts(undefined)) {
        await forEachRow(run, batch, (row) => parts.add(this.key(this.keys.left, row, run), row));
        await parts.settle();
        if (run.pace.due()) await run.pace.rest();
      }
      for (let part = 0; part < partitionCount; part++)
        if (parts.rowsIn(part) + rights.rowsIn(part) > 0)
          yield* this.join(run, () => parts.drain(part), rights.drain(part), level + 1);
    } finally {
      await parts.close();
      await rights.close();
    }
  }

  private async *joinTable(run: Run, lefts: Lefts, { buckets, all }: HashTable): Batches {
    const { type } = this.shape;
    if (buckets.size === 0 && (type === 'inner' || type === 'semi' || type === 'right')) {
      if (type === 'right') yield* this.unmatched(run, all, new Set());
      return;
    }
    const matched = this.keepsRight ? new Set<Row>() : undefined;
    const candidates = (left: Row): readonly Row[] => {
      const key = this.key(this.keys.left, left, run);
      return key === undefined ? none : (buckets.get(key) ?? none);
    };
    const filter = this.filters && !keepsLeft(type) ? filterOf(buckets) : undefined;
    for await (const batch of lefts(filter)) yield* this.match(run, batch, candidates, matched);
    if (matched !== undefined) yield* this.unmatched(run, all, matched);
  }

  /** Undefined: a NULL, which equals nothing. */
  private key(evaluators: readonly Evaluator[], row: Row, run: Run): HashKey | undefined {
    const values: Datum[] = [];
    for (const evaluate of evaluators) {
      const value = evaluate(row, run.evaluation);
      if (value === null) return undefined;
      values.push(value);
    }
    return this.keys.hash(values);
  }
}

function put(table: HashTable, key: HashKey | undefined, row: Row, keepsRight: boolean): void {
  if (key !== undefined) {
    const bucket = table.buckets.get(key);
    if (bucket === undefined) table.buckets.set(key, [row]);
    else bucket.push(row);
  }
  if (keepsRight) table.all.push(row);
}

/** Undefined: of too many keys. */
function filterOf(buckets: ReadonlyMap<HashKey, unknown>): Uint8Array | undefined {
  return buckets.size > filteredKeysMax ? undefined : buildKeyFilter(buckets.keys(), buckets.size);
}

function batchBytes(batch: readonly Row[]): number {
  let bytes = 0;
  for (const row of batch) bytes += rowBytes(row);
  return bytes;
}

const none: readonly Row[] = [];

/** Every row with every row: the right side is kept. */
export class NestedLoopOperator extends Binary implements Operator {
  async *open(run: Run): Batches {
    const holding = new Holding(run.memory);
    try {
      const rights = await collect(run, this.right.open(run), holding);
      const { type } = this.shape;
      const matched = type === 'right' || type === 'full' ? new Set<Row>() : undefined;
      if (rights.length > 0 || type === 'left' || type === 'full' || type === 'anti')
        for await (const batch of this.left.open(run))
          yield* this.match(run, batch, () => rights, matched);
      if (matched !== undefined) yield* this.unmatched(run, rights, matched);
    } finally {
      holding.release();
    }
  }
}

/** LATERAL: the right side runs anew for each row of the left, which hands in its arguments. */
export class LateralOperator extends Binary implements Operator {
  private readonly values: readonly Evaluator[];

  constructor(
    inputs: readonly [left: Operator, right: Operator],
    shape: JoinShape,
    values: readonly Evaluator[],
    text: () => NodeText,
  ) {
    super(inputs, shape, text);
    this.values = values;
  }

  async *open(run: Run): Batches {
    const { shape } = this;
    const { type, condition } = shape;
    let out: Row[] = [];
    for await (const lefts of this.left.open(run)) {
      for (const left of lefts) {
        const values = await evaluateOnce(run, () =>
          this.values.map((evaluate) => evaluate(left, run.evaluation)),
        );
        const inner: Run = { ...run, evaluation: withArguments(run.evaluation, values) };
        let found = false;
        for await (const rights of this.right.open(inner)) {
          for (const right of rights) {
            const row = joined(shape, left, right);
            const holds = holdsFor(run, condition, row);
            if (!(holds instanceof Promise ? await holds : holds)) continue;
            found = true;
            out.push(row);
          }
          if (run.pace.due()) await run.pace.rest();
          if (out.length < batchRows) continue;
          yield out;
          out = [];
        }
        if (!found && type === 'left') out.push(joined(shape, left, undefined));
      }
    }
    if (out.length > 0) yield out;
  }
}
