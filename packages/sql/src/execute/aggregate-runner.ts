/**
 * One aggregate over rows that are handed in one after the other. Those with ORDER BY, ordered-set aggregates and DISTINCT
 * over ordered results keep their input till the end.
 */
import type { Accumulator, AggregateSignature } from '../functions/aggregates.ts';
import type { EvalContext } from '../functions/signature.ts';
import type { SortColumn } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import type { SqlType } from '../types/type.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { type HashKey, hashKeyOf } from './hash-key.ts';
import { type MemoryAccount, type Pace, rowBytes } from './run.ts';
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

/** What an aggregate knows of the rows so far. */
export interface State {
  readonly accumulator: Accumulator;
  readonly seen: Set<HashKey> | undefined;
  /** Arguments and sort keys, where order matters. */
  readonly held: Row[] | undefined;
}

/** What one row gives to one aggregate: its arguments and sort keys; undefined where FILTER leaves it out. */
export type Input = Row | undefined;

const notCompared = (): HashKey => null;

/** Throws 53200. */
type Memory = Pick<MemoryAccount, 'add'>;

/** Also for windows. */
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
