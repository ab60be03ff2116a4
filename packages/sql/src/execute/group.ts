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
import { Partitions, partitionCount } from './spill/partitions.ts';
import { canSpill, Holding } from './spill/spilling.ts';

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

  constructor(input: Operator, plan: GroupingPlan, text: () => NodeText) {
    this.inputs = [input];
    this.input = input;
    this.plan = plan;
    this.text = text;
  }

  open(run: Run): Batches {
    return this.aggregate(run, this.input.open(run), 0);
  }

  /**
   * Groups that memory has room for are finished first; rows of the others are parted by key, and each part is aggregated by
   * itself. @param level 0: rows of the input; above: such rows, each with the number of its grouping set behind it
   */
  private async *aggregate(run: Run, rows: Batches, level: number): Batches {
    const holding = new Holding(run.memory);
    const table = new GroupTable(this.plan, holding, level === 0);
    let parts: Partitions | undefined;
    const overflow: Overflow = {
      isFull: false,
      put: (key, row, set) => parts?.add(key, [...row, set]),
    };
    try {
      for await (const batch of rows) {
        run.pace.check();
        await forEachRow(run, batch, (row) => {
          const set = level === 0 ? undefined : Number(row[row.length - 1]);
          table.add(level === 0 ? row : row.slice(0, -1), set, run.evaluation, overflow);
        });
        if (run.pace.due()) await run.pace.rest();
        if (parts !== undefined) await parts.settle();
        else if (!table.fits && canSpill(run, holding.bytes)) {
          parts = new Partitions(run, level);
          overflow.isFull = true;
        }
      }
      yield* this.results(run, table);
      table.clear();
      holding.release();
      if (parts === undefined) return;
      for (let part = 0; part < partitionCount; part++)
        if (parts.rowsIn(part) > 0) yield* this.aggregate(run, parts.drain(part), level + 1);
    } finally {
      holding.release();
      await parts?.close();
    }
  }

  private async *results(run: Run, table: GroupTable): Batches {
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
}

/** Where rows of groups go that the table has no room for. */
interface Overflow {
  isFull: boolean;
  readonly put: (key: HashKey, row: Row, set: number) => void;
}

const notCompared = (): HashKey => null;

/** Throws 53200. */
type Memory = Pick<MemoryAccount, 'add'>;

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

  take(state: State, input: Input, memory: Memory, context: EvalContext): void {
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
    memory.add(rowBytes(input));
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

class GroupTable {
  /** There is room for more groups. */
  fits = true;
  private readonly plan: GroupingPlan;
  private readonly memory: Holding;
  private readonly hashKey: (row: Row) => HashKey;
  private readonly runners: readonly AggregateRunner[];
  private readonly tables: readonly Map<HashKey, Group>[];
  private readonly sets: readonly (readonly boolean[] | undefined)[];

  /** @param isFirst a set without keys has its one group even where there are no rows */
  constructor(plan: GroupingPlan, memory: Holding, isFirst: boolean) {
    this.plan = plan;
    this.memory = memory;
    this.hashKey = hashKeyOf(plan.keyTypes);
    this.runners = plan.aggregates.map((one) => new AggregateRunner(one));
    this.sets =
      plan.sets === undefined
        ? [undefined]
        : plan.sets.map((set) => plan.keys.map((_key, i) => set.includes(i)));
    this.tables = this.sets.map(() => new Map<HashKey, Group>());
    if (!isFirst) return;
    this.sets.forEach((_set, i) => {
      const width = plan.sets === undefined ? plan.keys.length : (plan.sets[i]?.length ?? 0);
      if (width > 0) return;
      const keys = new Array<Datum>(plan.keys.length).fill(null);
      this.found(i, this.keyOf(keys), keys);
    });
  }

  /** @param only the grouping set for which the row is there; undefined: all of them */
  add(row: Row, only: number | undefined, context: EvalContext, overflow: Overflow): void {
    const keys = this.plan.keys.map((evaluate) => evaluate(row, context));
    const { runners } = this;
    const inputs: Input[] = [];
    for (const runner of runners) inputs.push(runner.input(row, context));
    for (let i = only ?? 0; i < (only === undefined ? this.sets.length : only + 1); i++) {
      const mask = this.sets[i];
      const own =
        mask === undefined ? keys : keys.map((value, k) => (mask[k] === true ? value : null));
      const key = this.keyOf(own);
      const group =
        this.tables[i]?.get(key) ?? (overflow.isFull ? undefined : this.found(i, key, own));
      if (group === undefined) {
        overflow.put(key, row, i);
        continue;
      }
      for (let k = 0; k < runners.length; k++) {
        const state = group.states[k];
        if (state !== undefined) runners[k]?.take(state, inputs[k], this.memory, context);
      }
    }
  }

  *groups(): Generator<Group> {
    for (const table of this.tables) yield* table.values();
  }

  clear(): void {
    for (const table of this.tables) table.clear();
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

  private keyOf(keys: Row): HashKey {
    return this.plan.keys.length === 0 ? null : this.hashKey(keys);
  }

  private found(set: number, key: HashKey, keys: Row): Group {
    const size = rowBytes(keys) * 2 + stateBytes * (1 + this.plan.aggregates.length);
    this.fits = this.memory.take(size) && this.fits;
    const group = { keys, set, states: this.runners.map((runner) => runner.start()) };
    this.tables[set]?.set(key, group);
    return group;
  }
}
