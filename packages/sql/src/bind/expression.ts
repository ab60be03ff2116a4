/**
 * Typed expressions: what the binder makes of the grammar's tree and what planner and executor work on. Every node knows
 * its type; columns are offsets into the row that the operator below hands up. Immutable.
 */
import type { AggregateSignature } from '../functions/aggregates.ts';
import type { ComparisonOperator, Signature } from '../functions/signature.ts';
import type { Datum, Oid } from '../session-api.ts';
import type { Cast } from '../types/cast.ts';
import { boolType, type SqlType } from '../types/type.ts';

interface Typed {
  readonly type: SqlType;
  /** -1, or for varchar(n): n + 4. */
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
}

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

/** varchar(n) applied to a value. */
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
  /** Undefined: count(*). */
  readonly argument: Expression | undefined;
  readonly distinct: boolean;
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
  | AggregateExpression;

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

export function children(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'constant':
    case 'parameter':
    case 'column':
      return [];
    case 'call':
    case 'concat':
    case 'and':
    case 'or':
    case 'coalesce':
    case 'extreme':
      return expression.arguments;
    case 'cast':
    case 'length':
    case 'not':
    case 'is-null':
    case 'boolean-test':
      return [expression.argument];
    case 'comparison':
    case 'distinct':
      return [expression.left, expression.right];
    case 'in':
      return [expression.left, ...expression.items];
    case 'case':
      return [
        ...expression.branches.flatMap((branch) => [branch.when, branch.result]),
        ...(expression.otherwise === undefined ? [] : [expression.otherwise]),
      ];
    case 'nullif':
      return [expression.comparison, expression.left];
    case 'aggregate':
      return expression.argument === undefined ? [] : [expression.argument];
  }
}

/** The same expression over other children. */
export function mapChildren(
  expression: Expression,
  map: (child: Expression) => Expression,
): Expression {
  switch (expression.kind) {
    case 'constant':
    case 'parameter':
    case 'column':
      return expression;
    case 'call':
    case 'concat':
    case 'and':
    case 'or':
    case 'coalesce':
    case 'extreme':
      return { ...expression, arguments: expression.arguments.map(map) };
    case 'cast':
    case 'length':
    case 'not':
    case 'is-null':
    case 'boolean-test':
      return { ...expression, argument: map(expression.argument) };
    case 'comparison':
    case 'distinct':
      return { ...expression, left: map(expression.left), right: map(expression.right) };
    case 'in':
      return { ...expression, left: map(expression.left), items: expression.items.map(map) };
    case 'case':
      return {
        ...expression,
        branches: expression.branches.map(({ when, result }) => ({
          when: map(when),
          result: map(result),
        })),
        otherwise: expression.otherwise === undefined ? undefined : map(expression.otherwise),
      };
    case 'nullif': {
      const { comparison: inner } = expression;
      return {
        ...expression,
        comparison: { ...inner, left: map(inner.left), right: map(inner.right) },
        left: map(expression.left),
      };
    }
    case 'aggregate':
      return expression.argument === undefined
        ? expression
        : { ...expression, argument: map(expression.argument) };
  }
}

/** Where an expression begins in the source text: an operator's own place lies behind its left operand. */
export function startOf(expression: Expression): number | undefined {
  const [first] = children(expression);
  const inner = first === undefined ? undefined : startOf(first);
  const { location } = expression;
  if (location === undefined || location < 0) return inner;
  return inner === undefined ? location : Math.min(location, inner);
}

export function some(expression: Expression, test: (node: Expression) => boolean): boolean {
  return test(expression) || children(expression).some((child) => some(child, test));
}

/** No column and no aggregate in it: one value for a whole run of the statement. */
export function isRowIndependent(expression: Expression): boolean {
  return !some(expression, (node) => node.kind === 'column' || node.kind === 'aggregate');
}

/** Texts that are equal exactly for expressions that compute the same. */
export function expressionKey(expression: Expression): string {
  const inner = children(expression).map(expressionKey).join(',');
  return `${expression.kind}${ownKey(expression)}:${expression.type.name}/${expression.modifier}(${inner})`;
}

function ownKey(node: Expression): string {
  switch (node.kind) {
    case 'constant':
      return JSON.stringify(
        typeof node.value === 'bigint' ? `${node.value}n` : floatKey(node.value),
      );
    case 'parameter':
    case 'column':
      return String(node.index);
    case 'call':
      return `${node.signature.name}[${node.signature.parameters.map((type) => type.name).join()}]`;
    case 'concat':
      return String(node.withSeparator);
    case 'length':
      return String(node.explicit);
    case 'comparison':
      return node.operator;
    case 'is-null':
    case 'distinct':
    case 'in':
      return String(node.negated);
    case 'boolean-test':
      return `${node.expected}${node.negated}`;
    case 'case':
      return String(node.otherwise !== undefined);
    case 'extreme':
      return String(node.direction);
    case 'aggregate':
      return `${node.signature.name}${node.distinct}`;
    default:
      return '';
  }
}

function floatKey(value: Datum): unknown {
  return typeof value === 'number' && (Object.is(value, -0) || !Number.isFinite(value))
    ? `float ${Object.is(value, -0) ? '-0' : value}`
    : value;
}
