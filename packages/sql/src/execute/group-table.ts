/** Groups by the values of keys: one hash table for each grouping set, accumulators for each group. */
import type { EvalContext } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';
import type { SqlType } from '../types/type.ts';
import { type AggregatePlan, AggregateRunner, type Input, type State } from './aggregate-runner.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { type HashKey, hashKeyOf } from './hash-key.ts';
import { type Pace, rowBytes } from './run.ts';
import type { Holding } from './spill/spilling.ts';

export interface GroupingPlan {
  readonly keys: readonly Evaluator[];
  readonly keyTypes: readonly SqlType[];
  readonly aggregates: readonly AggregatePlan[];
  /** Offsets into `keys`; undefined: one set of all keys. */
  readonly sets: readonly (readonly number[])[] | undefined;
}

export interface Group {
  readonly keys: Row;
  readonly set: number;
  readonly states: readonly State[];
}

const stateBytes = 96;

/** Where rows of groups go that the table has no room for. */
export interface Overflow {
  isFull: boolean;
  readonly put: (key: HashKey, row: Row, set: number) => void;
}

/** The table takes every group. */
export const noOverflow: Overflow = { isFull: false, put: () => {} };

/** Groups in the order in which they were met. */
export class GroupTable {
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

  /** How many there are. */
  get size(): number {
    return this.tables.reduce((all, { size }) => all + size, 0);
  }

  /** Keys and what each accumulator knows: only where all of them can say so. */
  partialRow({ keys, states }: Group): Row {
    return [...keys, ...states.flatMap(({ accumulator }) => accumulator.partial?.() ?? [])];
  }

  /** Takes in a partial row of a group. @param widths of the parts of each aggregate */
  merge(row: Row, widths: readonly number[], overflow: Overflow): void {
    const { length } = this.plan.keys;
    const keys = row.slice(0, length);
    const key = this.keyOf(keys);
    const group =
      this.tables[0]?.get(key) ?? (overflow.isFull ? undefined : this.found(0, key, keys));
    if (group === undefined) {
      overflow.put(key, row, 0);
      return;
    }
    let at = length;
    for (let i = 0; i < widths.length; i++) {
      group.states[i]?.accumulator.merge?.(row, at);
      at += widths[i] ?? 0;
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
