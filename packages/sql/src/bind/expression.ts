/**
 * Typed expressions: what the binder makes of the grammar's tree and what planner and executor work on. Every node knows
 * its type; columns are offsets into the row that the operator below hands up. Immutable.
 */

import type { Subplan } from '../execute/subplan.ts';
import type { AggregateSignature } from '../functions/aggregates.ts';
import type { SetSignature } from '../functions/set-returning.ts';
import type { ComparisonOperator, Signature } from '../functions/signature.ts';
import type { WindowSignature } from '../functions/windows.ts';
import type { Datum, Oid } from '../session-api.ts';
import type { Cast } from '../types/cast.ts';
import { boolType, type SqlType } from '../types/type.ts';
import type { Relation } from './relation.ts';

interface Typed {
  readonly type: SqlType;
  /** pg_attribute.atttypmod; -1 for none. */
  readonly modifier: number;
  /** Byte offset in the source text, for error messages. */
  readonly location: number | undefined;
}

export interface ConstantExpression extends Typed {
  readonly kind: 'constant';
  readonly value: Datum;
}

export interface ParameterExpression extends Typed {
  readonly kind: 'parameter';
  /** From 0. */
  readonly index: number;
}

export interface ColumnExpression extends Typed {
  readonly kind: 'column';
  readonly index: number;
  readonly name: string;
  readonly relation: string;
  readonly tableOid: Oid;
  /** 0 where the column is not one of a table. */
  readonly attributeNumber: number;
  /** What the operator below computes into it, for EXPLAIN. */
  readonly standsFor?: Expression;
}

/** A value of a query around this one, handed in once for each run of this one. */
export interface ArgumentExpression extends Typed {
  readonly kind: 'argument';
  readonly index: number;
  /** What it is there, for messages and EXPLAIN. */
  readonly outer: Expression;
}

/** A query inside an expression. */
export interface SubqueryExpression extends Typed {
  readonly kind: 'subquery';
  /** One value; an array of the first column; whether there is a row; `operands` compared with any or all rows by `test`. */
  readonly form: 'scalar' | 'exists' | 'any' | 'all' | 'array';
  readonly query: Relation;
  /** Values of the row around it that it sees as its arguments. */
  readonly arguments: readonly Expression[];
  readonly operands: readonly Expression[];
  /** Over a row of the operands followed by the query's columns. */
  readonly test: Expression | undefined;
  /** Equal for queries that are written the same. */
  readonly written: string;
  /** Set by the planner. */
  readonly subplan?: Subplan;
  /** Which of the query's columns is the value. */
  readonly column: number;
}

/** GROUPING(…): a number for each grouping set, chosen by the group's last column. */
export interface GroupingExpression extends Typed {
  readonly kind: 'grouping';
  readonly arguments: readonly Expression[];
  /** By grouping set; empty until grouping has replaced `arguments` by the column that holds the set. */
  readonly masks: readonly number[];
}

/** Stands in an expression until it is replaced by a column of the window operator. */
export interface WindowExpression extends Typed {
  readonly kind: 'window';
  readonly function:
    | { readonly kind: 'window'; readonly signature: WindowSignature }
    | { readonly kind: 'aggregate'; readonly signature: AggregateSignature };
  readonly arguments: readonly Expression[];
  readonly filter: Expression | undefined;
  readonly window: WindowDefinition;
}

export interface OrderItem {
  readonly expression: Expression;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
}

export interface WindowDefinition {
  readonly partition: readonly Expression[];
  readonly order: readonly OrderItem[];
  readonly frame: WindowFrame;
}

export interface WindowFrame {
  readonly mode: 'rows' | 'range' | 'groups';
  readonly start: FrameBound;
  readonly end: FrameBound;
  readonly exclude: 'nothing' | 'current row' | 'group' | 'ties';
  /** Not written: the default. */
  readonly implicit: boolean;
}

export type FrameBound =
  | { readonly kind: 'unbounded preceding' | 'current row' | 'unbounded following' }
  | { readonly kind: 'preceding' | 'following'; readonly offset: Expression };

export interface CallExpression extends Typed {
  readonly kind: 'call';
  readonly signature: Signature;
  readonly arguments: readonly Expression[];
}

/** concat and concat_ws: any number of arguments of any type, NULLs skipped. */
export interface ConcatExpression extends Typed {
  readonly kind: 'concat';
  readonly withSeparator: boolean;
  readonly arguments: readonly Expression[];
}

export interface CastExpression extends Typed {
  readonly kind: 'cast';
  readonly cast: Cast;
  readonly argument: Expression;
}

/** A type modifier applied to a value: varchar(n), numeric(p, s), … */
export interface LengthExpression extends Typed {
  readonly kind: 'length';
  readonly explicit: boolean;
  readonly argument: Expression;
}

export interface ComparisonExpression extends Typed {
  readonly kind: 'comparison';
  readonly operator: ComparisonOperator;
  readonly left: Expression;
  readonly right: Expression;
}

export interface LogicalExpression extends Typed {
  readonly kind: 'and' | 'or';
  readonly arguments: readonly Expression[];
}

export interface NotExpression extends Typed {
  readonly kind: 'not';
  readonly argument: Expression;
}

export interface IsNullExpression extends Typed {
  readonly kind: 'is-null';
  readonly negated: boolean;
  readonly argument: Expression;
}

/** IS [NOT] TRUE, FALSE, UNKNOWN. */
export interface BooleanTestExpression extends Typed {
  readonly kind: 'boolean-test';
  readonly expected: boolean | null;
  readonly negated: boolean;
  readonly argument: Expression;
}

/** IS [NOT] DISTINCT FROM. `negated` = NOT DISTINCT. */
export interface DistinctExpression extends Typed {
  readonly kind: 'distinct';
  readonly negated: boolean;
  readonly left: Expression;
  readonly right: Expression;
}

export interface InExpression extends Typed {
  readonly kind: 'in';
  readonly negated: boolean;
  readonly left: Expression;
  readonly items: readonly Expression[];
}

export interface CaseExpression extends Typed {
  readonly kind: 'case';
  readonly branches: readonly { readonly when: Expression; readonly result: Expression }[];
  readonly otherwise: Expression | undefined;
}

export interface CoalesceExpression extends Typed {
  readonly kind: 'coalesce';
  readonly arguments: readonly Expression[];
}

/** NULL where the comparison holds, else `left`. */
export interface NullIfExpression extends Typed {
  readonly kind: 'nullif';
  readonly comparison: ComparisonExpression;
  readonly left: Expression;
}

/** GREATEST (1) and LEAST (-1). */
export interface ExtremeExpression extends Typed {
  readonly kind: 'extreme';
  readonly direction: 1 | -1;
  readonly arguments: readonly Expression[];
}

/** Stands in an expression until grouping replaces it by a column of the group. */
export interface AggregateExpression extends Typed {
  readonly kind: 'aggregate';
  readonly signature: AggregateSignature;
  /** None: count(*). For an ordered-set aggregate what is sorted is in `order`. */
  readonly arguments: readonly Expression[];
  readonly distinct: boolean;
  readonly order: readonly OrderItem[];
  readonly filter: Expression | undefined;
}

/** A set-returning function: stands in a target list until it is a column of an operator below (bind-set-function.ts). */
export interface SetExpression extends Typed {
  readonly kind: 'set';
  readonly signature: SetSignature;
  readonly arguments: readonly Expression[];
  /** Of its columns. */
  readonly names: readonly string[];
  readonly columnTypes: readonly SqlType[];
  /** Which column; undefined: all of them as a record. */
  readonly field: number | undefined;
}

export type Expression =
  | ConstantExpression
  | ParameterExpression
  | ColumnExpression
  | CallExpression
  | ConcatExpression
  | CastExpression
  | LengthExpression
  | ComparisonExpression
  | LogicalExpression
  | NotExpression
  | IsNullExpression
  | BooleanTestExpression
  | DistinctExpression
  | InExpression
  | CaseExpression
  | CoalesceExpression
  | NullIfExpression
  | ExtremeExpression
  | AggregateExpression
  | ArgumentExpression
  | SubqueryExpression
  | GroupingExpression
  | WindowExpression
  | SetExpression;

export function constant(
  type: SqlType,
  value: Datum,
  location?: number,
  modifier = -1,
): ConstantExpression {
  return { kind: 'constant', type, modifier, location, value };
}

export function comparison(
  operator: ComparisonOperator,
  left: Expression,
  right: Expression,
  location: number | undefined,
): ComparisonExpression {
  return { kind: 'comparison', type: boolType, modifier: -1, location, operator, left, right };
}

export function column(
  type: SqlType,
  index: number,
  from: Partial<ColumnExpression> = {},
): ColumnExpression {
  return {
    modifier: -1,
    location: undefined,
    name: '?column?',
    relation: '',
    tableOid: 0,
    attributeNumber: 0,
    ...from,
    kind: 'column',
    type,
    index,
  };
}
