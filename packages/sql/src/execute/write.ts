/** INSERT, UPDATE, DELETE and MERGE: read what must be read, leave every write in the write set, count and return rows. */
import { compareBytes, DbError, toHex } from '@flotilla/base';
import type { EvalContext } from '../functions/signature.ts';
import { batchRows } from '../limits.ts';
import type { TableScan } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TableStore } from '../storage/table-store.ts';
import { quoteIdentifier } from '../types/identifier.ts';
import { formatText } from '../types/text-codec.ts';
import { openCtes, type PlannedCte } from './cte.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { type Batches, evaluateOnce, inBatches, type NodeText, type Operator } from './operator.ts';
import { lockOptions, type Run, rowBytes } from './run.ts';
import { scanTable } from './scan.ts';
import type { WriteSet } from './write-set.ts';

export interface Written {
  readonly count: number;
  readonly returned: readonly Row[];
}

/** A statement that writes, as part of a plan. */
export interface WriteNode {
  readonly inputs: readonly Operator[];
  readonly ctes: readonly PlannedCte[];
  readonly text: (() => NodeText) | undefined;
  run(run: Run): Promise<Written>;
}

function writesOf(run: Run): WriteSet {
  if (run.writes === undefined) throw new RangeError('a statement that writes has a write set');
  return run.writes;
}

/** Rows of RETURNING. */
class Returned {
  readonly rows: Row[] = [];
  private readonly outputs: readonly Evaluator[] | undefined;
  private readonly run: Run;

  constructor(outputs: readonly Evaluator[] | undefined, run: Run) {
    this.outputs = outputs;
    this.run = run;
  }

  async add(row: Row): Promise<void> {
    const { outputs, run } = this;
    if (outputs === undefined) return;
    const output = await evaluateOnce(run, () =>
      outputs.map((evaluate) => evaluate(row, run.evaluation)),
    );
    writesOf(run).memory.add(rowBytes(output));
    this.rows.push(output);
  }
}

/** A data-modifying query of WITH, whose rows are those of its RETURNING. */
export class WriteOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text: (() => NodeText) | undefined;
  private readonly node: WriteNode;

  constructor(node: WriteNode) {
    this.node = node;
    this.inputs = node.inputs;
    this.text = node.text;
  }

  async *open(run: Run): Batches {
    const { returned } = await this.node.run(run);
    yield* inBatches(run, returned);
  }
}

/** SELECT over a WITH that writes. */
export class SelectNode implements WriteNode {
  readonly inputs: readonly Operator[];
  readonly ctes: readonly PlannedCte[] = [];
  readonly text = undefined;
  private readonly operator: Operator;

  constructor(operator: Operator) {
    this.operator = operator;
    this.inputs = [operator];
  }

  async run(run: Run): Promise<Written> {
    const returned: Row[] = [];
    for await (const batch of this.operator.open(run)) {
      run.pace.check();
      writesOf(run).memory.add(batch.reduce((sum, row) => sum + rowBytes(row), 0));
      returned.push(...batch);
    }
    return { count: returned.length, returned };
  }
}

interface NodeOptions {
  readonly ctes: readonly PlannedCte[];
  readonly returning: readonly Evaluator[] | undefined;
  readonly text: () => NodeText;
}

abstract class Node {
  readonly ctes: readonly PlannedCte[];
  readonly text: () => NodeText;
  protected readonly returning: readonly Evaluator[] | undefined;

  constructor(options: NodeOptions) {
    this.ctes = options.ctes;
    this.text = options.text;
    this.returning = options.returning;
  }

  async run(run: Run): Promise<Written> {
    if (this.ctes.length === 0) return this.write(run);
    const ctes = await openCtes(this.ctes, run);
    try {
      return await this.write({ ...run, ctes });
    } finally {
      await ctes.close();
    }
  }

  protected abstract write(run: Run): Promise<Written>;
}

/** Values for some columns of a table, and the defaults of the others. */
export interface RowMaker {
  readonly store: TableStore;
  readonly targets: readonly number[];
  /** For every column of the table; undefined = NULL. */
  readonly defaults: readonly (Evaluator | undefined)[];
}

export type CompiledAssignments = readonly {
  readonly column: number;
  readonly value: Evaluator | undefined;
}[];

export type CompiledConflict =
  | { readonly kind: 'nothing' }
  | {
      readonly kind: 'update';
      readonly assignments: CompiledAssignments;
      readonly where: Evaluator | undefined;
    };

export interface InsertOptions extends NodeOptions {
  readonly rows: RowMaker;
  readonly source:
    | { readonly kind: 'values'; readonly rows: readonly (readonly (Evaluator | undefined)[])[] }
    | { readonly kind: 'query'; readonly operator: Operator };
  readonly conflict: CompiledConflict | undefined;
}

export class InsertNode extends Node implements WriteNode {
  readonly inputs: readonly Operator[];
  private readonly options: InsertOptions;

  constructor(options: InsertOptions) {
    super(options);
    this.options = options;
    this.inputs = options.source.kind === 'query' ? [options.source.operator] : [];
  }

  protected async write(run: Run): Promise<Written> {
    const { store } = this.options.rows;
    const { conflict } = this.options;
    const returned = new Returned(this.returning, run);
    if (conflict !== undefined && store.keyColumns.length > 0)
      return this.writeBeside(run, conflict, returned);
    const writes = writesOf(run);
    let count = 0;
    for await (const batch of this.proposed(run)) {
      for (const row of batch) {
        checkNotNull(store, row, run.evaluation);
        const key =
          store.keyColumns.length > 0 ? store.rowKey(row) : store.hiddenKey(writes.rowIds.next());
        writes.insert(key, store.codec.encode(row));
        if (this.returning !== undefined) await returned.add(row);
        count++;
      }
      if (run.pace.due()) await run.pace.rest();
    }
    return { count, returned: returned.rows };
  }

  /** ON CONFLICT. Throws 21000 where one row would be updated twice. */
  private async writeBeside(
    run: Run,
    conflict: CompiledConflict,
    returned: Returned,
  ): Promise<Written> {
    const { store } = this.options.rows;
    const writes = writesOf(run);
    const taken = new Set<string>();
    const all = store.table.columns.map(() => true);
    let count = 0;
    for await (const batch of this.proposed(run)) {
      for (const row of batch) checkNotNull(store, row, run.evaluation);
      const keys = batch.map((row) => store.rowKey(row));
      const lock = run.lockRows ? lockOptions(run, 'exclusive') : undefined;
      const values = await run.pace.unlessCancelled(run.transaction.getMany(keys, lock));
      for (let i = 0; i < batch.length; i++) {
        const [row, key, value] = [batch[i], keys[i], values[i]];
        if (row === undefined || key === undefined) continue;
        const hex = toHex(key);
        if (value === undefined && !taken.has(hex)) {
          writes.insert(key, store.codec.encode(row));
          taken.add(hex);
          await returned.add(row);
          count++;
          continue;
        }
        if (conflict.kind === 'nothing') continue;
        if (taken.has(hex) || value === undefined)
          throw new SqlError(
            '21000',
            'ON CONFLICT DO UPDATE command cannot affect row a second time',
            {
              hint: 'Ensure that no rows proposed for insertion within the same command have duplicate constrained values.',
            },
          );
        const existing = store.decodeRow(key, value, all);
        const both = [...existing, ...row];
        const changed = await updated(run, conflict, both, existing);
        if (changed === undefined) continue;
        checkNotNull(store, changed, run.evaluation);
        taken.add(hex);
        const newKey = store.rowKey(changed);
        if (compareBytes(newKey, key) !== 0) {
          writes.delete(key);
          writes.insert(newKey, store.codec.encode(changed));
        } else writes.put(key, store.codec.encode(changed));
        await returned.add(changed);
        count++;
      }
      if (run.pace.due()) await run.pace.rest();
    }
    return { count, returned: returned.rows };
  }

  private async *proposed(run: Run): AsyncGenerator<Datum[][]> {
    const { source, rows } = this.options;
    if (source.kind === 'query') {
      for await (const batch of source.operator.open(run))
        yield batch.map((values) => makeRow(rows, run, (i) => values[i] ?? null));
      return;
    }
    let batch: Datum[][] = [];
    for (const values of source.rows) {
      const row = await evaluateOnce(run, () =>
        makeRow(rows, run, (i) => assigned(rows, values[i], i, run.evaluation)),
      );
      batch.push(row);
      if (batch.length < batchRows) continue;
      yield batch;
      batch = [];
    }
    yield batch;
  }
}

/** The row after DO UPDATE; undefined where its WHERE does not hold. */
function updated(
  run: Run,
  conflict: Extract<CompiledConflict, { kind: 'update' }>,
  both: Row,
  existing: Row,
): Promise<Datum[] | undefined> {
  return evaluateOnce(run, () => {
    const { where, assignments } = conflict;
    if (where !== undefined && where(both, run.evaluation) !== true) return undefined;
    return assign(assignments, both, existing, run.evaluation);
  });
}

function assign(
  assignments: CompiledAssignments,
  row: Row,
  target: Row,
  context: EvalContext,
): Datum[] {
  const changed = [...target];
  for (const { column, value } of assignments) changed[column] = value?.(row, context) ?? null;
  return changed;
}

/** A row with the given values in the target columns and defaults elsewhere. */
function makeRow(rows: RowMaker, run: Run, value: (i: number) => Datum): Datum[] {
  const row = rows.defaults.map((evaluate) => evaluate?.([], run.evaluation) ?? null);
  for (let i = 0; i < rows.targets.length; i++) row[rows.targets[i] ?? 0] = value(i);
  return row;
}

/** A value of VALUES, or the column's default where it says DEFAULT. */
function assigned(
  rows: RowMaker,
  evaluate: Evaluator | undefined,
  i: number,
  context: EvalContext,
  row: Row = [],
): Datum {
  if (evaluate !== undefined) return evaluate(row, context);
  return rows.defaults[rows.targets[i] ?? 0]?.([], context) ?? null;
}

/** Where UPDATE, DELETE and MERGE find their rows. */
export type TargetRows =
  /** One table: keys come with the rows. */
  | { readonly kind: 'scan'; readonly scan: TableScan; readonly filter: Evaluator | undefined }
  /** Rows of all items of FROM, the written table's columns first. */
  | { readonly kind: 'query'; readonly store: TableStore; readonly operator: Operator };

interface TargetRow {
  /** Undefined: MERGE found no row of the table. */
  readonly key: Uint8Array | undefined;
  /** The table's own row. */
  readonly own: Row;
  /** The row that expressions are over. */
  readonly row: Row;
}

export interface TargetedOptions extends NodeOptions {
  readonly target: TargetRows;
}

export interface UpdateOptions extends TargetedOptions {
  readonly assignments: CompiledAssignments;
  readonly changesKey: boolean;
}

function storeOfTarget(target: TargetRows): TableStore {
  return target.kind === 'scan' ? target.scan.store : target.store;
}

async function* targetRows(target: TargetRows, run: Run): AsyncGenerator<readonly TargetRow[]> {
  if (target.kind === 'query') {
    yield* joinedRows(target.store, target.operator, run);
    return;
  }
  const { filter, scan } = target;
  if (!scan.points) run.facts.mayHaveMissed = true;
  // Rows that are named by their keys are read under their locks; others are locked once it is known which they are.
  const lock = run.lockRows && scan.points ? lockOptions(run, 'exclusive') : undefined;
  for await (const { keys, rows, missing } of scanTable(scan, run, { lock })) {
    if (missing > 0) run.facts.mayHaveMissed = true;
    const found: TargetRow[] = [];
    for (let i = 0; i < rows.length; i++) {
      const [key, row] = [keys[i], rows[i]];
      if (key === undefined || row === undefined) continue;
      if (filter !== undefined) {
        const holds = await evaluateOnce(run, () => filter(row, run.evaluation));
        if (holds !== true) continue;
      }
      found.push({ key, own: row, row });
    }
    if (lock === undefined) await lockTargets(run, found);
    if (found.length > 0) yield found;
    if (run.pace.due()) await run.pace.rest();
  }
}

/** Locks rows that qualify. Throws CONFLICT where one was changed after the snapshot in which it did. */
async function lockTargets(run: Run, rows: readonly TargetRow[]): Promise<void> {
  if (!run.lockRows) return;
  const keys = rows.flatMap(({ key }) => key ?? []);
  if (keys.length === 0) return;
  const locked = run.transaction.getMany(keys, lockOptions(run, 'exclusive', true));
  await run.pace.unlessCancelled(locked);
}

async function* joinedRows(
  store: TableStore,
  operator: Operator,
  run: Run,
): AsyncGenerator<readonly TargetRow[]> {
  const width = store.table.columns.length;
  const [firstKey] = store.keyColumns;
  for await (const batch of operator.open(run)) {
    const rows = batch.map((row): TargetRow => {
      const own = row.slice(0, width);
      const mark = firstKey === undefined ? row[width] : own[firstKey.index];
      if (mark === null || mark === undefined) return { key: undefined, own, row };
      const key =
        firstKey === undefined ? store.hiddenKey(BigInt(mark as bigint)) : store.rowKey(own);
      return { key, own, row };
    });
    await lockTargets(run, rows);
    yield rows;
    if (run.pace.due()) await run.pace.rest();
  }
}

interface Change {
  readonly oldKey: Uint8Array;
  readonly row: Datum[];
}

export class UpdateNode extends Node implements WriteNode {
  readonly inputs: readonly Operator[];
  private readonly options: UpdateOptions;

  constructor(options: UpdateOptions, inputs: readonly Operator[]) {
    super(options);
    this.options = options;
    this.inputs = inputs;
  }

  protected async write(run: Run): Promise<Written> {
    const { target, assignments, changesKey } = this.options;
    const store = storeOfTarget(target);
    const writes = writesOf(run);
    const returned = new Returned(this.returning, run);
    const changes: Change[] = [];
    const seen = target.kind === 'query' ? new Set<string>() : undefined;
    let count = 0;
    for await (const batch of targetRows(target, run)) {
      for (const { key, own, row } of batch) {
        if (key === undefined || isSeen(seen, key)) continue;
        const changed = await evaluateOnce(run, () =>
          assign(assignments, row, own, run.evaluation),
        );
        checkNotNull(store, changed, run.evaluation);
        count++;
        if (changesKey) {
          writes.memory.add(key.length + rowBytes(changed) + 64);
          changes.push({ oldKey: key, row: changed });
        } else writes.put(key, store.codec.encode(changed));
        if (this.returning !== undefined)
          await returned.add(row === own ? changed : [...changed, ...row.slice(changed.length)]);
        if (run.pace.due()) await run.pace.rest();
      }
    }
    if (changesKey) moveRows({ store, writes, context: run.evaluation }, changes);
    return { count, returned: returned.rows };
  }
}

/** A row that joins with several others is written once. */
function isSeen(seen: Set<string> | undefined, key: Uint8Array): boolean {
  if (seen === undefined) return false;
  const hex = toHex(key);
  if (seen.has(hex)) return true;
  seen.add(hex);
  return false;
}

/**
 * Keys change: old ones go, new ones come. A new key that is one of the old ones is free, because its row moves too, and
 * its read is validated at commit; every other new key must be absent. Two rows with one new key throw 23505.
 */
function moveRows(
  to: { readonly store: TableStore; readonly writes: WriteSet; readonly context: EvalContext },
  changes: readonly Change[],
): void {
  const { store, writes, context } = to;
  const left = new Map<string, Uint8Array>();
  for (const { oldKey } of changes) left.set(toHex(oldKey), oldKey);
  const free = new Set(left.keys());
  const taken = new Set<string>();
  for (const { row } of changes) {
    const key =
      store.keyColumns.length > 0 ? store.rowKey(row) : store.hiddenKey(writes.rowIds.next());
    const hex = toHex(key);
    if (taken.has(hex)) throw duplicateKey(store, key, context);
    taken.add(hex);
    left.delete(hex);
    if (free.has(hex)) writes.put(key, store.codec.encode(row));
    else writes.insert(key, store.codec.encode(row));
  }
  for (const oldKey of left.values()) writes.delete(oldKey);
}

export class DeleteNode extends Node implements WriteNode {
  readonly inputs: readonly Operator[];
  private readonly options: TargetedOptions;

  constructor(options: TargetedOptions, inputs: readonly Operator[]) {
    super(options);
    this.options = options;
    this.inputs = inputs;
  }

  protected async write(run: Run): Promise<Written> {
    const { target } = this.options;
    const returned = new Returned(this.returning, run);
    const seen = target.kind === 'query' ? new Set<string>() : undefined;
    let count = 0;
    for await (const batch of targetRows(target, run)) {
      for (const { key, row } of batch) {
        if (key === undefined || isSeen(seen, key)) continue;
        writesOf(run).delete(key);
        count++;
        if (this.returning !== undefined) await returned.add(row);
      }
    }
    return { count, returned: returned.rows };
  }
}

export interface CompiledMergeAction {
  readonly matched: boolean;
  readonly condition: Evaluator | undefined;
  readonly action:
    | { readonly kind: 'nothing' | 'delete' }
    | { readonly kind: 'update'; readonly assignments: CompiledAssignments }
    | {
        readonly kind: 'insert';
        readonly rows: RowMaker;
        readonly values: readonly (Evaluator | undefined)[];
      };
}

export interface MergeOptions extends TargetedOptions {
  readonly actions: readonly CompiledMergeAction[];
}

export class MergeNode extends Node implements WriteNode {
  readonly inputs: readonly Operator[];
  private readonly options: MergeOptions;

  constructor(options: MergeOptions, inputs: readonly Operator[]) {
    super(options);
    this.options = options;
    this.inputs = inputs;
  }

  /** Throws 21000 where two source rows would change one row. */
  protected async write(run: Run): Promise<Written> {
    const { target, actions } = this.options;
    const store = storeOfTarget(target);
    const writes = writesOf(run);
    const touched = new Set<string>();
    let count = 0;
    for await (const batch of targetRows(target, run)) {
      for (const { key, own, row } of batch) {
        const chosen = await this.choose(run, actions, key !== undefined, row);
        if (chosen === undefined || chosen.kind === 'nothing') continue;
        if (chosen.kind === 'insert') {
          const { rows, values } = chosen;
          const made = await evaluateOnce(run, () =>
            makeRow(rows, run, (i) => assigned(rows, values[i], i, run.evaluation, row)),
          );
          checkNotNull(store, made, run.evaluation);
          const newKey =
            store.keyColumns.length > 0
              ? store.rowKey(made)
              : store.hiddenKey(writes.rowIds.next());
          writes.insert(newKey, store.codec.encode(made));
          count++;
          continue;
        }
        if (key === undefined) continue;
        if (isSeen(touched, key))
          throw new SqlError('21000', 'MERGE command cannot affect row a second time', {
            hint: 'Ensure that not more than one source row matches any one target row.',
          });
        count++;
        if (chosen.kind !== 'update') {
          writes.delete(key);
          continue;
        }
        const changed = await evaluateOnce(run, () =>
          assign(chosen.assignments, row, own, run.evaluation),
        );
        checkNotNull(store, changed, run.evaluation);
        const newKey = store.keyColumns.length > 0 ? store.rowKey(changed) : key;
        if (compareBytes(newKey, key) === 0) writes.put(key, store.codec.encode(changed));
        else {
          writes.delete(key);
          writes.insert(newKey, store.codec.encode(changed));
        }
      }
    }
    return { count, returned: [] };
  }

  private choose(
    run: Run,
    actions: readonly CompiledMergeAction[],
    matched: boolean,
    row: Row,
  ): Promise<CompiledMergeAction['action'] | undefined> {
    return evaluateOnce(
      run,
      () =>
        actions.find(
          (one) =>
            one.matched === matched &&
            (one.condition === undefined || one.condition(row, run.evaluation) === true),
        )?.action,
    );
  }
}

/** Throws 23502. */
function checkNotNull(store: TableStore, row: readonly Datum[], context: EvalContext): void {
  const { table } = store;
  for (let i = 0; i < table.columns.length; i++) {
    const column = table.columns[i];
    if (column === undefined || !column.notNull || row[i] !== null) continue;
    throw new SqlError(
      '23502',
      `null value in column "${column.name}" of relation "${table.name}" violates not-null constraint`,
      {
        detail: `Failing row contains (${row.map((value, j) => shownValue(store, value, j, context)).join(', ')}).`,
        schema: table.schema,
        table: table.name,
        column: column.name,
      },
    );
  }
}
/** As PostgreSQL shows values in details: cut to 64 bytes. */
function shownValue(store: TableStore, value: Datum, i: number, context: EvalContext): string {
  const type = store.table.columns[i]?.type;
  if (value === null || type === undefined) return 'null';
  const text = formatText(type, value, context);
  if (Buffer.byteLength(text) <= 64) return text;
  let cut = '';
  for (const character of text) {
    if (Buffer.byteLength(cut + character) > 64) break;
    cut += character;
  }
  return `${cut}...`;
}

/** 23505 with the key's columns in the detail, as PostgreSQL words it. */
export function duplicateKey(store: TableStore, key: Uint8Array, context: EvalContext): SqlError {
  const { table, keyColumns } = store;
  const constraint = table.primaryKey?.constraint ?? '';
  const row = new Array<Datum>(table.columns.length).fill(null);
  store.decodeKeyInto(row, key);
  const names = keyColumns.map(({ index }) => quoteIdentifier(table.columns[index]?.name ?? ''));
  const values = keyColumns.map(({ index, type }) => {
    const value = row[index] ?? null;
    const modifier = table.columns[index]?.modifier ?? -1;
    // A key does not hold a char(n)'s padding or a numeric's scale.
    const whole =
      modifier < 0 ? value : (type.codec?.modifier?.apply(value, modifier, true) ?? value);
    return formatText(type, whole, context);
  });
  return new SqlError('23505', `duplicate key value violates unique constraint "${constraint}"`, {
    detail: `Key (${names.join(', ')})=(${values.join(', ')}) already exists.`,
    schema: table.schema,
    table: table.name,
    constraint,
  });
}

/** The store's own rows only: other keys of the transaction are not the user's business. */
export function isRowKey(store: TableStore, key: Uint8Array): boolean {
  const { indexPrefix } = store;
  return (
    store.keyColumns.length > 0 &&
    key.length > indexPrefix.length &&
    compareBytes(key.subarray(0, indexPrefix.length), indexPrefix) === 0
  );
}

export function isKeyExists(error: unknown): error is DbError {
  return error instanceof DbError && error.code === 'KEY_EXISTS';
}
