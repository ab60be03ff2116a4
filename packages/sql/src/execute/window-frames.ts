/**
 * Frames of window functions: which rows of its partition each row sees, by ROWS, RANGE and GROUPS with EXCLUDE. Used by
 * window.ts, which sorts the rows and computes the functions over them.
 */
import { operators } from '../functions/operators.ts';
import type { EvalContext } from '../functions/signature.ts';
import type { SortColumn } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { findCast } from '../types/cast.ts';
import { comparatorOf } from '../types/compare.ts';
import { intervalSpan } from '../types/interval.ts';
import { addNumeric, subtractNumeric } from '../types/numeric.ts';
import { intervalType, type SqlType } from '../types/type.ts';
import { IntervalValue } from '../types/values.ts';
import type { Evaluator, Row } from './evaluate.ts';
import { evaluateOnce } from './operator.ts';
import type { Run } from './run.ts';
import { type RowComparator, rowComparator } from './sort.ts';

export interface FrameBoundPlan {
  readonly kind:
    | 'unbounded preceding'
    | 'current row'
    | 'unbounded following'
    | 'preceding'
    | 'following';
  readonly offset: Evaluator | undefined;
}

export interface FramePlan {
  readonly mode: 'rows' | 'range' | 'groups';
  readonly start: FrameBoundPlan;
  readonly end: FrameBoundPlan;
  readonly exclude: 'nothing' | 'current row' | 'group' | 'ties';
}
/** A partition's rows, with where each row's peers begin and end. */
export class Partition {
  readonly rows: readonly Row[];
  readonly order: readonly SortColumn[];
  readonly peerStart: number[] = [];
  readonly peerEnd: number[] = [];
  /** Number of each row's peer group, from 0. */
  readonly group: number[] = [];
  readonly groupStarts: number[] = [];

  constructor(rows: readonly Row[], order: readonly SortColumn[]) {
    this.rows = rows;
    this.order = order;
    const compare: RowComparator = rowComparator(order);
    let start = 0;
    for (let i = 1; i <= rows.length; i++) {
      if (i < rows.length && compare(rows[start] ?? [], rows[i] ?? []) === 0) continue;
      for (let k = start; k < i; k++) {
        this.peerStart.push(start);
        this.peerEnd.push(i);
        this.group.push(this.groupStarts.length);
      }
      this.groupStarts.push(start);
      start = i;
    }
  }

  startOfGroup(group: number): number {
    if (group < 0) return 0;
    return this.groupStarts[group] ?? this.rows.length;
  }
}

export interface Members {
  readonly size: number;
  /** Offset into the partition of the k-th row of the frame, from 0. */
  at(k: number): number | undefined;
}

/** Which rows of the partition each row's frame holds. */
export class Frames {
  private readonly partition: Partition;
  private readonly plan: FramePlan;
  private readonly startOffset: Datum;
  private readonly endOffset: Datum;

  private readonly context: EvalContext;

  private constructor(
    partition: Partition,
    plan: FramePlan,
    offsets: readonly [Datum, Datum],
    context: EvalContext,
  ) {
    this.context = context;
    this.partition = partition;
    this.plan = plan;
    [this.startOffset, this.endOffset] = offsets;
  }

  /** Throws 22004, 22013. */
  static async of(run: Run, partition: Partition, plan: FramePlan): Promise<Frames> {
    const offset = async (bound: FrameBoundPlan, word: string): Promise<Datum> => {
      const { offset: evaluate } = bound;
      if (evaluate === undefined) return null;
      const value = await evaluateOnce(run, () => evaluate([], run.evaluation));
      if (value === null) throw new SqlError('22004', `frame ${word} offset must not be null`);
      if (isBackwards(value))
        throw new SqlError(
          '22013',
          plan.mode === 'range'
            ? 'invalid preceding or following size in window function'
            : `frame ${word} offset must not be negative`,
        );
      return value;
    };
    const offsets = [
      await offset(plan.start, 'starting'),
      await offset(plan.end, 'ending'),
    ] as const;
    return new Frames(partition, plan, offsets, run.evaluation);
  }

  /** Without EXCLUDE. */
  bounds(i: number): { readonly start: number; readonly end: number } {
    const start = this.edge(i, this.plan.start, this.startOffset, false);
    const end = this.edge(i, this.plan.end, this.endOffset, true);
    return { start, end: Math.max(start, end) };
  }

  members(i: number): Members {
    const { start, end } = this.bounds(i);
    const { peerStart, peerEnd } = this.partition;
    const [first, last] = [peerStart[i] ?? i, peerEnd[i] ?? i + 1];
    switch (this.plan.exclude) {
      case 'nothing':
        return spans([[start, end]]);
      case 'current row':
        return spans(cut(start, end, i, i + 1));
      case 'group':
        return spans(cut(start, end, first, last));
      case 'ties': {
        const [before = [0, 0], after = [0, 0]] = cut(start, end, first, last);
        const own: Span = i >= start && i < end ? [i, i + 1] : [0, 0];
        return spans([before, own, after]);
      }
    }
  }

  /** Where the frame begins, or, for its end, the offset behind it. */
  private edge(i: number, bound: FrameBoundPlan, offset: Datum, isEnd: boolean): number {
    const { rows, peerStart, peerEnd, group } = this.partition;
    const total = rows.length;
    switch (bound.kind) {
      case 'unbounded preceding':
        return 0;
      case 'unbounded following':
        return total;
      case 'current row':
        if (this.plan.mode === 'rows') return isEnd ? i + 1 : i;
        return isEnd ? (peerEnd[i] ?? total) : (peerStart[i] ?? 0);
      default: {
        const sign = bound.kind === 'preceding' ? -1 : 1;
        if (this.plan.mode === 'rows') {
          const place = i + sign * Number(offset) + (isEnd ? 1 : 0);
          return Math.min(total, Math.max(0, place));
        }
        if (this.plan.mode === 'groups') {
          const wanted = (group[i] ?? 0) + sign * Number(offset) + (isEnd ? 1 : 0);
          return this.partition.startOfGroup(wanted);
        }
        return this.rangeEdge(i, sign, offset, isEnd);
      }
    }
  }

  /** RANGE with an offset: rows whose value lies within the distance; NULLs are peers of NULLs only. */
  private rangeEdge(i: number, sign: number, offset: Datum, isEnd: boolean): number {
    const { rows, peerStart, peerEnd, order } = this.partition;
    const [key] = order;
    const value = key === undefined ? null : (rows[i]?.[key.output] ?? null);
    if (key === undefined || value === null)
      return isEnd ? (peerEnd[i] ?? rows.length) : (peerStart[i] ?? 0);
    const direction = key.descending ? -1 : 1;
    const temporal = temporalRange(key.type, sign * direction, this.context);
    const limit =
      temporal?.shift(value, offset) ?? shift(key.type, value, offset, sign * direction);
    const compare = comparatorOf(key.type);
    const test = (place: number): boolean => {
      const other = rows[place]?.[key.output] ?? null;
      if (other === null) return !key.nullsFirst;
      const order =
        (temporal?.compare(other, limit) ?? compareShifted(compare, other, limit)) * direction;
      return isEnd ? order > 0 : order >= 0;
    };
    // The first row that is beyond the limit: rows are sorted, so halves will do.
    let [low, high] = [0, rows.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (test(middle)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function isBackwards(offset: Datum): boolean {
  if (offset instanceof IntervalValue) return intervalSpan(offset) < 0n;
  return Number(offset) < 0 || Number.isNaN(Number(offset));
}

/** Distances of dates and timestamps are intervals. Undefined: the type is none of these. */
function temporalRange(type: SqlType, sign: number, context: EvalContext) {
  if (!['date', 'timestamp', 'timestamptz'].includes(type.name)) return undefined;
  const moved = operators
    .get(sign < 0 ? '-' : '+')
    ?.find(({ parameters: [a, b] }) => a === type && b === intervalType);
  if (moved === undefined) throw new RangeError('an interval may be added to the type');
  const cast = type === moved.result ? undefined : findCast(type, moved.result);
  const whole = (value: Datum): Datum =>
    cast?.implementation?.(value, null, null, context) ?? value;
  const order = comparatorOf(moved.result);
  return {
    shift: (value: Datum, offset: Datum) => moved.implementation(value, offset, null, context),
    compare: (a: Datum, b: Datum) => order(whole(a), b),
  };
}

function shift(type: SqlType, value: Datum, offset: Datum, sign: number): Datum {
  if (typeof value === 'string')
    return sign < 0
      ? subtractNumeric(value, offset as string)
      : addNumeric(value, offset as string);
  if (type.name === 'float8') return (value as number) + sign * (offset as number);
  return BigInt(value as number) + BigInt(sign) * BigInt(offset as bigint);
}

/** Integers of any width may meet here: numbers and bigints compare as they are. */
function compareShifted(compare: (a: Datum, b: Datum) => number, a: Datum, b: Datum): number {
  if (typeof b === 'bigint')
    return a === null ? 0 : (a as bigint) < b ? -1 : (a as bigint) > b ? 1 : 0;
  return compare(a, b);
}

type Span = readonly [from: number, end: number];

/** `[start, end)` without `[from, to)`. */
function cut(start: number, end: number, from: number, to: number): Span[] {
  return [
    [start, Math.max(start, Math.min(end, from))],
    [Math.min(end, Math.max(start, to)), end],
  ];
}

function spans(all: readonly Span[]): Members {
  const size = all.reduce((sum, [from, end]) => sum + Math.max(0, end - from), 0);
  return {
    size,
    at: (k) => {
      let rest = k;
      for (const [from, end] of all) {
        if (rest < 0) return undefined;
        if (rest < end - from) return from + rest;
        rest -= Math.max(0, end - from);
      }
      return undefined;
    },
  };
}
