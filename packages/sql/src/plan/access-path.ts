/**
 * Which part of a key's order a predicate can match: conjuncts that compare columns of the key with values that are known
 * before the first row become points or spans of it; what they say fully is dropped from the filter. The key is a table's
 * primary key or that of a secondary index; expressions are over the table's own row.
 */
import { conjunction, conjuncts } from '../bind/conjuncts.ts';
import { constant, type Expression } from '../bind/expression.ts';
import { expressionKey } from '../bind/expression-key.ts';
import { isRowIndependent, some } from '../bind/expression-tree.ts';
import { likePrefix } from '../functions/like.ts';
import type { ComparisonOperator } from '../functions/signature.ts';
import { accessPointsMax } from '../limits.ts';
import type { KeyColumn } from '../storage/table-store.ts';
import { boolType, isInteger, isText, type SqlType } from '../types/type.ts';

/** One column of a key. */
export interface KeyPart {
  /** Offset into the table's columns; -1: an expression. */
  readonly column: number;
  /** What is computed into it, as `expressionKey`. */
  readonly expression: string | undefined;
  /** For EXPLAIN. */
  readonly name: string;
  readonly type: SqlType;
  readonly nullable: boolean;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
}

/** The values that a column of a key may have. */
export type KeyValues =
  | { readonly kind: 'values'; readonly values: readonly Expression[] }
  /** Those of an array that is known when the scan begins. */
  | { readonly kind: 'array'; readonly array: Expression }
  | { readonly kind: 'null' };

export interface KeyBound {
  readonly value: Expression;
  readonly inclusive: boolean;
}

export interface AccessPath {
  /** For each of the first key columns. All key columns: points; fewer: spans. */
  readonly equals: readonly KeyValues[];
  /** On the key column after those. */
  readonly lower: KeyBound | undefined;
  readonly upper: KeyBound | undefined;
  /** The pattern of a LIKE: only its literal beginning counts here. */
  readonly pattern: Expression | undefined;
  /** The column after those is not NULL. */
  readonly notNull: boolean;
}

export interface ChosenAccess {
  readonly access: AccessPath;
  /** What is left to check on each row. */
  readonly filter: Expression | undefined;
}

export const fullScan: AccessPath = {
  equals: [],
  lower: undefined,
  upper: undefined,
  pattern: undefined,
  notNull: false,
};

/** A primary key's columns. */
export function primaryParts(
  keyColumns: readonly KeyColumn[],
  nameOf: (offset: number) => string,
): readonly KeyPart[] {
  return keyColumns.map(({ index, type }) => ({
    column: index,
    expression: undefined,
    name: nameOf(index),
    type,
    nullable: false,
    descending: false,
    nullsFirst: false,
  }));
}

/** Whether every column of the key has values. */
export function isPointAccess(access: AccessPath, columns: number): boolean {
  return columns > 0 && access.equals.length >= columns;
}

/** One value for each column that has values. */
export function isSingle({ equals }: AccessPath): boolean {
  return equals.every((one) => one.kind === 'values' && one.values.length === 1);
}

export function isRestricted(access: AccessPath): boolean {
  const { equals, lower, upper, pattern, notNull } = access;
  return (
    equals.length > 0 ||
    lower !== undefined ||
    upper !== undefined ||
    pattern !== undefined ||
    notNull
  );
}

/** What one conjunct says about one column or expression. */
export type KeyTest = { readonly conjunct: Expression; readonly operand: Expression } & (
  | {
      readonly kind: 'comparison';
      readonly operator: ComparisonOperator;
      readonly values: readonly Expression[];
    }
  | { readonly kind: 'array'; readonly array: Expression }
  | { readonly kind: 'null' | 'not null' }
  | { readonly kind: 'pattern'; readonly pattern: Expression }
);

/** The tests among conjuncts, found once and tried on several keys. */
export class Predicate {
  readonly all: readonly Expression[];
  private readonly tests: readonly KeyTest[];

  constructor(where: Expression | undefined) {
    this.all = conjuncts(where);
    this.tests = this.all.flatMap((conjunct) => keyTest(conjunct) ?? []);
  }

  /** @param implied conjuncts that the key says by itself, as a partial index does */
  access(parts: readonly KeyPart[], implied: ReadonlySet<Expression> = noConjuncts): ChosenAccess {
    const used = new Set<Expression>(implied);
    const of = (part: KeyPart) => this.tests.filter((test) => isOn(test.operand, part));
    const equals: KeyValues[] = [];
    let points = 1;
    for (const part of parts) {
      const found = equality(of(part), part);
      const count = found?.chosen.kind === 'values' ? found.chosen.values.length : 1;
      if (found === undefined || points * count > accessPointsMax) break;
      used.add(found.conjunct);
      points *= count;
      equals.push(found.chosen);
    }
    const next = parts[equals.length];
    if (next === undefined) return { access: { ...fullScan, equals }, filter: this.without(used) };
    const tests = of(next).filter((test) => !used.has(test.conjunct));
    const lower = boundOf(tests, ['>', '>='], used);
    const upper = boundOf(tests, ['<', '<='], used);
    const bounded = lower !== undefined || upper !== undefined;
    const pattern = bounded ? undefined : tests.find((test) => test.kind === 'pattern');
    const notNull = tests.find((test) => test.kind === 'not null');
    // A bound leaves out NULLs as well, and some columns have none.
    if (notNull !== undefined) used.add(notNull.conjunct);
    return {
      access: {
        equals,
        lower,
        upper,
        pattern: pattern?.kind === 'pattern' ? pattern.pattern : undefined,
        notNull: notNull !== undefined && next.nullable,
      },
      filter: this.without(used),
    };
  }

  private without(used: ReadonlySet<Expression>): Expression | undefined {
    return conjunction(this.all.filter((conjunct) => !used.has(conjunct)));
  }
}

const noConjuncts: ReadonlySet<Expression> = new Set();

export function chooseAccess(
  where: Expression | undefined,
  parts: readonly KeyPart[],
): ChosenAccess {
  return new Predicate(where).access(parts);
}

function equality(
  tests: readonly KeyTest[],
  part: KeyPart,
): { readonly conjunct: Expression; readonly chosen: KeyValues } | undefined {
  for (const test of tests) {
    const { conjunct } = test;
    if (test.kind === 'comparison' && test.operator === '=')
      return { conjunct, chosen: { kind: 'values', values: test.values } };
    if (test.kind === 'null' && part.nullable) return { conjunct, chosen: { kind: 'null' } };
  }
  const test = tests.find((one) => one.kind === 'array');
  if (test?.kind !== 'array') return undefined;
  return { conjunct: test.conjunct, chosen: { kind: 'array', array: test.array } };
}

function boundOf(
  tests: readonly KeyTest[],
  operators: readonly ComparisonOperator[],
  used: Set<Expression>,
): KeyBound | undefined {
  for (const test of tests) {
    if (test.kind !== 'comparison' || !operators.includes(test.operator)) continue;
    const [value] = test.values;
    if (value === undefined) continue;
    used.add(test.conjunct);
    return { value, inclusive: test.operator.endsWith('=') };
  }
  return undefined;
}

/** Whether the expression is what the column of the key holds. */
export function isOn(operand: Expression, part: KeyPart): boolean {
  if (part.column >= 0) return columnOf(operand) === part.column;
  return (
    operand.kind !== 'column' &&
    part.expression !== undefined &&
    expressionKey(operand) === part.expression &&
    !dependsOnSession(operand)
  );
}

/** Whether it may compute something else in another session, or each time. */
export function dependsOnSession(expression: Expression): boolean {
  return some(
    expression,
    (one) =>
      one.kind === 'subquery' ||
      one.kind === 'argument' ||
      one.kind === 'parameter' ||
      (one.kind === 'call' && one.signature.volatility !== 'immutable') ||
      (one.kind === 'cast' && one.cast.stable === true),
  );
}

const mirrored: Readonly<Record<ComparisonOperator, ComparisonOperator>> = {
  '=': '=',
  '<>': '<>',
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
};

const startsWith: ReadonlySet<string> = new Set(['~~', '^@', 'starts_with']);

export function keyTest(conjunct: Expression): KeyTest | undefined {
  switch (conjunct.kind) {
    case 'comparison':
      return comparisonTest(conjunct);
    case 'in': {
      const { left, items, negated } = conjunct;
      if (negated || !isOfRow(left) || !items.every(isKnownBefore)) return undefined;
      if (!items.every((item) => sharesKeys(left.type, item.type))) return undefined;
      return { kind: 'comparison', conjunct, operand: left, operator: '=', values: items };
    }
    case 'is-null':
      if (!isOfRow(conjunct.argument)) return undefined;
      return {
        kind: conjunct.negated ? 'not null' : 'null',
        conjunct,
        operand: conjunct.argument,
      };
    case 'column':
    case 'not': {
      const operand = conjunct.kind === 'not' ? conjunct.argument : conjunct;
      if (operand.kind !== 'column' || operand.type !== boolType) return undefined;
      const values = [constant(boolType, conjunct.kind !== 'not')];
      return { kind: 'comparison', conjunct, operand, operator: '=', values };
    }
    case 'call':
      return callTest(conjunct);
    default:
      return undefined;
  }
}

function comparisonTest(
  conjunct: Extract<Expression, { kind: 'comparison' }>,
): KeyTest | undefined {
  const { left, right, operator } = conjunct;
  if (!sharesKeys(left.type, right.type)) return undefined;
  if (isOfRow(left) && isKnownBefore(right))
    return { kind: 'comparison', conjunct, operand: left, operator, values: [right] };
  if (!isOfRow(right) || !isKnownBefore(left)) return undefined;
  return {
    kind: 'comparison',
    conjunct,
    operand: right,
    operator: mirrored[operator],
    values: [left],
  };
}

function callTest(conjunct: Extract<Expression, { kind: 'call' }>): KeyTest | undefined {
  const [operand, value] = conjunct.arguments;
  if (operand === undefined || value === undefined || conjunct.arguments.length !== 2)
    return undefined;
  if (!isOfRow(operand) || !isKnownBefore(value)) return undefined;
  const { name } = conjunct.signature;
  if (name === 'any =') {
    const element = value.type.element;
    if (element === undefined || !sharesKeys(operand.type, element)) return undefined;
    return { kind: 'array', conjunct, operand, array: value };
  }
  if (!startsWith.has(name) || !isText(operand.type) || !isText(value.type)) return undefined;
  if (value.kind === 'constant' && (value.value === null || likePrefix(String(value.value)) === ''))
    return undefined;
  if (name === '~~') return { kind: 'pattern', conjunct, operand, pattern: value };
  // The beginning itself is not a pattern; it is one only if nothing in it means anything there.
  if (value.kind !== 'constant' || /[%_\\]/.test(String(value.value))) return undefined;
  return { kind: 'pattern', conjunct, operand, pattern: value };
}

function isOfRow(expression: Expression): boolean {
  return !isRowIndependent(expression);
}

/** One value for the whole scan. */
function isKnownBefore(expression: Expression): boolean {
  return (
    isRowIndependent(expression) &&
    !some(expression, (one) => one.kind === 'call' && one.signature.volatility === 'volatile')
  );
}

/** Equal values of both types have equal keys, and keys of both order as the values do. */
export function sharesKeys(left: SqlType, right: SqlType): boolean {
  if (left === right) return left.codec?.key !== undefined;
  return (isText(left) && isText(right)) || (isInteger(left) && isInteger(right));
}

/** The offset of a bare column; a varchar column that is read as text is still itself. */
export function columnOf(expression: Expression): number | undefined {
  if (expression.kind === 'column') return expression.index;
  if (expression.kind !== 'cast' || expression.cast.implementation !== undefined) return undefined;
  if (!isText(expression.type) || !isText(expression.argument.type)) return undefined;
  return columnOf(expression.argument);
}
