/** INSERT, UPDATE, DELETE and MERGE: read what must be read, leave every write in the write set, count and return rows. */
import { compareBytes, DbError, toHex } from '@flotilla/base';
import type { EvalContext } from '../functions/signature.ts';
import { batchRows } from '../limits.ts';
import type { TableScan } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TableStore } from '../storage/table-store.ts';
import { conflictingRows } from './conflicts.ts';
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
  | { readonly kind: 'nothing'; readonly on: readonly number[] | undefined }
  | {
      readonly kind: 'update';
      readonly on: readonly number[];
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

  get store(): TableStore {
    return this.options.rows.store;
  }

  /** Whether it only adds rows, and keeps none of them. */
  get onlyAdds(): boolean {
    const { conflict, returning, ctes } = this.options;
    return conflict === undefined && returning === undefined && ctes.length === 0;
  }

  constructor(options: InsertOptions) {
    super(options);
    this.options = options;
    this.inputs = options.source.kind === 'query' ? [options.source.operator] : [];
  }

  protected async write(run: Run): Promise<Written> {
    const { store } = this.options.rows;
    const { conflict } = this.options;
    const returned = new Returned(this.returning, run);
    if (conflict !== undefined) return this.writeBeside(run, conflict, returned);
    const writer = writesOf(run).writer(store, run);
    let count = 0;
    for await (const batch of this.proposed(run)) {
      for (const row of batch) {
        writer.complete(row);
        writer.insert(row);
        if (this.returning !== undefined) await returned.add(row);
        count++;
      }
      await run.pour?.();
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
    const writer = writesOf(run).writer(store, run);
    const taken = new Set<string>();
    const all = store.table.columns.map(() => true);
    let count = 0;
    for await (const batch of this.proposed(run)) {
      for (const row of batch) writer.complete(row);
      const found = await conflictingRows(run, writer, batch, conflict.on);
      for (const key of found.keys.flat()) writesOf(run).noteLookedAt(key);
      for (const [i, row] of batch.entries()) {
        const own = found.keys[i] ?? [];
        const twice = own.some((key) => taken.has(toHex(key)));
        const there = found.rows[i];
        if (there === undefined && !twice) {
          writer.insert(row);
          for (const key of own) taken.add(toHex(key));
          await returned.add(row);
          count++;
          continue;
        }
        if (conflict.kind === 'nothing') continue;
        if (twice || there === undefined || taken.has(toHex(there.key)))
          throw new SqlError(
            '21000',
            'ON CONFLICT DO UPDATE command cannot affect row a second time',
            {
              hint: 'Ensure that no rows proposed for insertion within the same command have duplicate constrained values.',
            },
          );
        const existing = store.decodeRow(there.key, there.value, all);
        const both = [...existing, ...row];
        const changed = await updated(run, conflict, both, existing);
        if (changed === undefined) continue;
        writer.complete(changed);
        for (const key of [...own, there.key]) taken.add(toHex(key));
        const newKey = store.keyColumns.length > 0 ? store.rowKey(changed) : there.key;
        writer.update(there.key, existing, changed, compareBytes(newKey, there.key) !== 0);
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
      for await (const batch of source.operator.open(run)) {
        const made: Datum[][] = [];
        for (const values of batch)
          made.push(await evaluateOnce(run, () => makeRow(rows, run, (i) => values[i] ?? null)));
        yield made;
      }
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
  // A default that is not asked for is not computed: it may take a value of a sequence.
  const row = rows.defaults.map((evaluate, i) =>
    evaluate === undefined || rows.targets.includes(i) ? null : evaluate([], run.evaluation),
  );
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

async function* targetRows(
  target: TargetRows,
  run: Run,
  input: Operator | undefined,
): AsyncGenerator<readonly TargetRow[]> {
  if (target.kind === 'query') {
    yield* joinedRows(target.store, target.operator, run);
    return;
  }
  const { filter, scan } = target;
  // Rows that are named by their keys are read under their locks; others are locked once it is known which they are.
  const lock = run.lockRows && scan.points ? lockOptions(run, 'exclusive') : undefined;
  for await (const { keys, rows } of scanTable(scan, run, { lock })) {
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
    run.recorder?.add(input, found.length);
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
    const writer = writesOf(run).writer(storeOfTarget(target), run);
    const returned = new Returned(this.returning, run);
    const seen = target.kind === 'query' ? new Set<string>() : undefined;
    let count = 0;
    for await (const batch of targetRows(target, run, this.inputs[0])) {
      for (const { key, own, row } of batch) {
        if (key === undefined || isSeen(seen, key)) continue;
        const changed = await evaluateOnce(run, () =>
          assign(assignments, row, own, run.evaluation),
        );
        writer.complete(changed);
        writer.update(key, own, changed, changesKey);
        count++;
        if (this.returning !== undefined)
          await returned.add(row === own ? changed : [...changed, ...row.slice(changed.length)]);
        if (run.pace.due()) await run.pace.rest();
      }
    }
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
    const writer = writesOf(run).writer(storeOfTarget(target), run);
    const returned = new Returned(this.returning, run);
    const seen = target.kind === 'query' ? new Set<string>() : undefined;
    let count = 0;
    for await (const batch of targetRows(target, run, this.inputs[0])) {
      for (const { key, own, row } of batch) {
        if (key === undefined || isSeen(seen, key)) continue;
        writer.delete(key, own);
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
    const writer = writesOf(run).writer(storeOfTarget(target), run);
    const touched = new Set<string>();
    let count = 0;
    for await (const batch of targetRows(target, run, this.inputs[0])) {
      for (const { key, own, row } of batch) {
        const chosen = await this.choose(run, actions, key !== undefined, row);
        if (chosen === undefined || chosen.kind === 'nothing') continue;
        if (chosen.kind === 'insert') {
          const { rows, values } = chosen;
          const made = await evaluateOnce(run, () =>
            makeRow(rows, run, (i) => assigned(rows, values[i], i, run.evaluation, row)),
          );
          writer.complete(made);
          writer.insert(made);
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
          writer.delete(key, own);
          continue;
        }
        const changed = await evaluateOnce(run, () =>
          assign(chosen.assignments, row, own, run.evaluation),
        );
        writer.complete(changed);
        writer.update(key, own, changed, writer.store.keyColumns.length > 0);
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

export function isKeyExists(error: unknown): error is DbError {
  return error instanceof DbError && error.code === 'KEY_EXISTS';
}
