/**
 * Hash aggregation: groups by the values of keys, one hash table for each grouping set, accumulators for each group.
 * Aggregates with ORDER BY, ordered-set aggregates and DISTINCT over ordered results keep their input till the end.
 */
import type { Accumulator, AggregateSignature } from '../functions/aggregates.ts';
import type { EvalContext } from '../functions/signature.ts';
import { batchRows } from '../limits.ts';
import type { SortColumn } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import type { SqlType } from '../types/type.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { type HashKey, hashKeyOf } from './hash-key.ts';
import { type Batches, forEachRow, type NodeText, type Operator } from './operator.ts';
import { type MemoryAccount, type Pace, type Run, rowBytes } from './run.ts';
import { type RowComparator, rowComparator, sortRows } from './sort.ts';

export interface AggregatePlan {
  readonly signature: AggregateSignature;
  /** None: count(*). For an ordered-set aggregate: the direct arguments. */
  readonly arguments: readonly Evaluator[];
  readonly argumentTypes: readonly SqlType[];
  readonly distinct: boolean;
  readonly filter: Evaluator | undefined;
  /** Sort keys beside the arguments; `output` counts behind the arguments. */
  readonly order: readonly { readonly key: Evaluator; readonly column: SortColumn }[];
}

export interface GroupingPlan {
  readonly keys: readonly Evaluator[];
  readonly keyTypes: readonly SqlType[];
  readonly aggregates: readonly AggregatePlan[];
  /** Offsets into `keys`; undefined: one set of all keys. */
  readonly sets: readonly (readonly number[])[] | undefined;
}

interface Group {
  readonly keys: Row;
  readonly set: number;
  readonly states: readonly State[];
}

interface State {
  readonly accumulator: Accumulator;
  readonly seen: Set<HashKey> | undefined;
  /** Arguments and sort keys, where order matters. */
  readonly held: Row[] | undefined;
}

const stateBytes = 96;

/** What one row gives to one aggregate: its arguments and sort keys; undefined where FILTER leaves it out. */
type Input = Row | undefined;

export class AggregateOperator implements Operator {
  readonly inputs: readonly Operator[];
  readonly text: () => NodeText;
  private readonly input: Operator;
  private readonly plan: GroupingPlan;
  private readonly parts: OpenParts | undefined;

  /** @param parts groups of parts of the input, made elsewhere; undefined where a run cannot have them */
  constructor(input: Operator, plan: GroupingPlan, text: () => NodeText, parts?: OpenParts) {
    this.inputs = [input];
    this.input = input;
    this.plan = plan;
    this.text = text;
    this.parts = parts;
  }

  async *open(run: Run): Batches {
    const table = new GroupTable(this.plan, run.memory);
    const parts = await this.parts?.(run);
    if (parts === undefined) await this.addAll(table, run);
    else await this.mergeAll(table, run, parts);
    let batch: Row[] = [];
    for (const group of table.groups()) {
      batch.push(await table.row(group, run.pace, run.evaluation));
      if (batch.length < batchRows) continue;
      if (run.pace.due()) await run.pace.rest();
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }

  private async addAll(table: GroupTable, run: Run): Promise<void> {
    for await (const batch of this.input.open(run)) {
      run.pace.check();
      await forEachRow(run, batch, (row) => table.add(row, run.evaluation));
      if (run.pace.due()) await run.pace.rest();
    }
  }

  private async mergeAll(
    table: GroupTable,
    run: Run,
    parts: AsyncIterable<PartialGroups>,
  ): Promise<void> {
    const widths = this.plan.aggregates.map(
      ({ signature, argumentTypes }) => signature.partial?.(argumentTypes).length ?? 0,
    );
    run.recorder?.add(this.input, 0);
    for await (const { rows, taken, error } of parts) {
      if (error !== undefined) throw error;
      run.recorder?.add(this.input, taken);
      for (let i = 0; i < rows.length; i++) {
        const row = rows[i];
        if (row !== undefined) table.merge(row, widths);
        if ((i & 63) === 63 && run.pace.due()) await run.pace.rest();
      }
    }
  }
}

/** Rows of keys and of what accumulators know, of a part of the input. */
export interface PartialGroups {
  readonly rows: readonly Row[];
  /** Rows of the input that are in them. */
  readonly taken: number;
  readonly error: Error | undefined;
}

type OpenParts = (run: Run) => Promise<AsyncIterable<PartialGroups> | undefined>;

const notCompared = (): HashKey => null;

/** One aggregate over rows that are handed in one after the other: also for windows. */
export class AggregateRunner {
  private readonly plan: AggregatePlan;
  private readonly argumentKey: (row: Row) => HashKey;
  private readonly keepsInput: boolean;
  private readonly compare: RowComparator | undefined;

  constructor(plan: AggregatePlan) {
    this.plan = plan;
    // Only DISTINCT compares them: json and void can be counted and not compared.
    this.argumentKey = plan.distinct ? hashKeyOf(plan.argumentTypes) : notCompared;
    const { signature, order, distinct } = plan;
    const columns = order.map((item) => item.column);
    const byArguments = distinct && signature.ordered === true && order.length === 0;
    const sortedBy = byArguments
      ? plan.argumentTypes.map((type, output) => ({
          output,
          type,
          descending: false,
          nullsFirst: false,
        }))
      : columns;
    this.keepsInput = sortedBy.length > 0;
    this.compare = this.keepsInput ? rowComparator(sortedBy) : undefined;
  }

  start(): State {
    return {
      accumulator: this.plan.signature.create(this.plan.argumentTypes),
      seen: this.plan.distinct ? new Set<HashKey>() : undefined,
      held: this.keepsInput ? [] : undefined,
    };
  }

  /** Evaluates only: nothing is changed yet. */
  input(row: Row, context: EvalContext): Input {
    const { filter, arguments: parameters, order } = this.plan;
    if (filter !== undefined && filter(row, context) !== true) return undefined;
    const values: Datum[] = [];
    for (const evaluate of parameters) values.push(evaluate(row, context));
    for (const { key } of order) values.push(key(row, context));
    return values;
  }

  take(state: State, input: Input, memory: MemoryAccount, context: EvalContext): void {
    if (input === undefined) return;
    const { arguments: parameters, signature } = this.plan;
    if (parameters.length === 0 && signature.orderedSet === undefined) {
      state.accumulator.add(null, null, context);
      return;
    }
    const value = signature.orderedSet === undefined ? input[0] : input[parameters.length];
    if (value === undefined || (value === null && signature.keepsNulls !== true)) return;
    if (signature.strictPairs === true && (input[1] ?? null) === null) return;
    if (state.seen !== undefined) {
      const width = parameters.length;
      const key = this.argumentKey(input.length === width ? input : input.slice(0, width));
      if (state.seen.has(key)) return;
      memory.add(64 + rowBytes([value]));
      state.seen.add(key);
    }
    if (state.held === undefined) {
      state.accumulator.add(value, input[1] ?? null, context);
      return;
    }
    memory.addRows([input]);
    state.held.push(input);
  }

  async result(state: State, pace: Pace, context: EvalContext): Promise<Datum> {
    const { held } = state;
    if (held === undefined || this.compare === undefined) return state.accumulator.result();
    const sorted = await sortRows(held, this.compare, pace);
    const { signature, arguments: parameters } = this.plan;
    if (signature.orderedSet !== undefined) {
      const values = sorted.map((row) => row[parameters.length] ?? null);
      const { compare } = this;
      return signature.orderedSet(
        values,
        sorted[0]?.[0] ?? null,
        (i) => compare(sorted[i - 1] ?? [], sorted[i] ?? []) === 0,
      );
    }
    for (const row of sorted) state.accumulator.add(row[0] ?? null, row[1] ?? null, context);
    return state.accumulator.result();
  }
}

/** Groups in the order in which they were met. */
export class GroupTable {
  private readonly plan: GroupingPlan;
  private readonly memory: MemoryAccount;
  private readonly hashKey: (row: Row) => HashKey;
  private readonly runners: readonly AggregateRunner[];
  private readonly tables: readonly Map<HashKey, Group>[];
  private readonly sets: readonly (readonly boolean[] | undefined)[];

  constructor(plan: GroupingPlan, memory: MemoryAccount) {
    this.plan = plan;
    this.memory = memory;
    this.hashKey = hashKeyOf(plan.keyTypes);
    this.runners = plan.aggregates.map((one) => new AggregateRunner(one));
    this.sets =
      plan.sets === undefined
        ? [undefined]
        : plan.sets.map((set) => plan.keys.map((_key, i) => set.includes(i)));
    this.tables = this.sets.map(() => new Map<HashKey, Group>());
    // A set without keys has its one group even where there are no rows.
    this.sets.forEach((_set, i) => {
      const width = plan.sets === undefined ? plan.keys.length : (plan.sets[i]?.length ?? 0);
      if (width === 0) this.groupOf(i, new Array<Datum>(plan.keys.length).fill(null));
    });
  }

  add(row: Row, context: EvalContext): void {
    const keys = this.plan.keys.map((evaluate) => evaluate(row, context));
    const { runners } = this;
    const inputs: Input[] = [];
    for (const runner of runners) inputs.push(runner.input(row, context));
    for (let i = 0; i < this.sets.length; i++) {
      const mask = this.sets[i];
      const own =
        mask === undefined ? keys : keys.map((value, k) => (mask[k] === true ? value : null));
      const { states } = this.groupOf(i, own);
      for (let k = 0; k < runners.length; k++) {
        const state = states[k];
        if (state !== undefined) runners[k]?.take(state, inputs[k], this.memory, context);
      }
    }
  }

  /** How many there are. */
  get size(): number {
    return this.tables.reduce((all, { size }) => all + size, 0);
  }

  /** Keys and what each accumulator knows: only where all of them can say so. */
  partialRow({ keys, states }: Group): Row {
    return [...keys, ...states.flatMap(({ accumulator }) => accumulator.partial?.() ?? [])];
  }

  /** Takes in a partial row of a group. @param widths of the parts of each aggregate */
  merge(row: Row, widths: readonly number[]): void {
    const { length } = this.plan.keys;
    const { states } = this.groupOf(0, row.slice(0, length));
    let at = length;
    for (let i = 0; i < widths.length; i++) {
      states[i]?.accumulator.merge?.(row, at);
      at += widths[i] ?? 0;
    }
  }

  *groups(): Generator<Group> {
    for (const table of this.tables) yield* table.values();
  }

  /** Keys, results, and the number of the set where there are several. */
  async row(group: Group, pace: Pace, context: EvalContext): Promise<Row> {
    const row: Datum[] = [...group.keys];
    for (let i = 0; i < this.runners.length; i++) {
      const [runner, state] = [this.runners[i], group.states[i]];
      if (runner === undefined || state === undefined) continue;
      row.push(
        state.held === undefined
          ? state.accumulator.result()
          : await runner.result(state, pace, context),
      );
    }
    if (this.plan.sets !== undefined) row.push(group.set);
    return row;
  }

  private groupOf(set: number, keys: Row): Group {
    const table = this.tables[set];
    if (table === undefined) throw new RangeError('grouping set exists');
    const hash = this.plan.keys.length === 0 ? null : this.hashKey(keys);
    let group = table.get(hash);
    if (group === undefined) {
      this.memory.add(rowBytes(keys) * 2 + stateBytes * (1 + this.plan.aggregates.length));
      group = { keys, set, states: this.runners.map((runner) => runner.start()) };
      table.set(hash, group);
    }
    return group;
  }
}
