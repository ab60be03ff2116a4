/** Hash aggregation and distinct rows. Values that PostgreSQL holds equal fall into one group: 1.0 and 1.00, 0 and -0. */
import type { Accumulator } from '../functions/aggregates.ts';
import type { EvalContext } from '../functions/signature.ts';
import type { GroupingPlan } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { canonicalNumeric } from '../types/numeric.ts';
import { numericType, type SqlType } from '../types/type.ts';
import type { Row } from './evaluate.ts';
import { type MemoryAccount, rowBytes } from './run.ts';

type HashKey = Datum;

/** One value that is the same exactly for rows that are not distinct. */
export function hashKeyOf(types: readonly SqlType[]): (row: Row) => HashKey {
  const [only] = types;
  if (types.length === 1 && only !== undefined && only !== numericType)
    return (row) => row[0] ?? null;
  return (row) => {
    let key = '';
    for (let i = 0; i < types.length; i++) {
      const value = row[i] ?? null;
      if (value === null) key += '~';
      else if (types[i] === numericType) key += `${canonicalNumeric(value as string)};`;
      else if (typeof value === 'string') key += `${value.length}:${value}`;
      else key += `${value === 0 ? 0 : value};`;
    }
    return key;
  };
}

interface Group {
  readonly keys: Row;
  readonly states: readonly State[];
}

interface State {
  readonly accumulator: Accumulator;
  readonly seen: Set<HashKey> | undefined;
}

const stateBytes = 96;

export class HashAggregate {
  private readonly plan: GroupingPlan;
  private readonly memory: MemoryAccount;
  private readonly hashKey: (row: Row) => HashKey;
  private readonly argumentKeys: readonly ((row: Row) => HashKey)[];
  private readonly groups = new Map<HashKey, Group>();

  constructor(plan: GroupingPlan, memory: MemoryAccount) {
    this.plan = plan;
    this.memory = memory;
    this.hashKey = hashKeyOf(plan.keyTypes);
    this.argumentKeys = plan.aggregates.map(({ expression }) =>
      hashKeyOf(expression.argument === undefined ? [] : [expression.argument.type]),
    );
    if (plan.keys.length === 0) this.groupOf([]);
  }

  add(row: Row, context: EvalContext): void {
    const keys = this.plan.keys.map((evaluate) => evaluate(row, context));
    const group = this.groupOf(keys);
    for (let i = 0; i < group.states.length; i++) {
      const state = group.states[i];
      const aggregate = this.plan.aggregates[i];
      if (state === undefined || aggregate === undefined) continue;
      if (aggregate.argument === undefined) {
        state.accumulator.add(null);
        continue;
      }
      const value = aggregate.argument(row, context);
      if (value === null) continue;
      if (state.seen !== undefined) {
        const key = this.argumentKeys[i]?.([value]) ?? null;
        if (state.seen.has(key)) continue;
        this.memory.add(rowBytes([value]));
        state.seen.add(key);
      }
      state.accumulator.add(value);
    }
  }

  /** The groups' rows: keys, then results. */
  *rows(): Generator<Row> {
    for (const group of this.groups.values())
      yield [...group.keys, ...group.states.map((state) => state.accumulator.result())];
  }

  private groupOf(keys: Row): Group {
    const hash = this.plan.keys.length === 0 ? null : this.hashKey(keys);
    let group = this.groups.get(hash);
    if (group === undefined) {
      this.memory.add(rowBytes(keys) * 2 + stateBytes * (1 + this.plan.aggregates.length));
      group = {
        keys,
        states: this.plan.aggregates.map(({ expression }) => ({
          accumulator: expression.signature.create(),
          seen: expression.distinct ? new Set<HashKey>() : undefined,
        })),
      };
      this.groups.set(hash, group);
    }
    return group;
  }
}

/** Remembers rows; says whether one is new. */
export class DistinctRows {
  private readonly seen = new Set<HashKey>();
  private readonly hashKey: (row: Row) => HashKey;
  private readonly memory: MemoryAccount;

  constructor(types: readonly SqlType[], memory: MemoryAccount) {
    this.hashKey = hashKeyOf(types);
    this.memory = memory;
  }

  isNew(row: Row): boolean {
    const key = this.hashKey(row);
    if (this.seen.has(key)) return false;
    this.memory.add(rowBytes(row));
    this.seen.add(key);
    return true;
  }
}
