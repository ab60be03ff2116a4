/**
 * Which part of a table a predicate can match: conjuncts that compare key columns with values that are known before the
 * first row become key points or key spans; what they say fully is dropped from the filter.
 */
import { conjunction, conjuncts } from '../bind/conjuncts.ts';
import type { Expression } from '../bind/expression.ts';
import { isRowIndependent } from '../bind/expression.ts';
import type { ComparisonOperator } from '../functions/signature.ts';
import { accessPointsMax } from '../limits.ts';
import type { KeyColumn } from '../storage/table-store.ts';
import { isInteger, isText, type SqlType } from '../types/type.ts';

export interface KeyBound {
  readonly value: Expression;
  readonly inclusive: boolean;
}

export interface AccessPath {
  /** For each of the first key columns: the values it may have. All key columns: points; fewer: spans. */
  readonly equals: readonly (readonly Expression[])[];
  /** On the key column after those. */
  readonly lower: KeyBound | undefined;
  readonly upper: KeyBound | undefined;
}

export interface ChosenAccess {
  readonly access: AccessPath;
  /** What is left to check on each row. */
  readonly filter: Expression | undefined;
}

export const fullScan: AccessPath = { equals: [], lower: undefined, upper: undefined };

export function isPointAccess(access: AccessPath, keyColumns: readonly KeyColumn[]): boolean {
  return keyColumns.length > 0 && access.equals.length === keyColumns.length;
}

interface KeyTest {
  readonly conjunct: Expression;
  readonly column: number;
  readonly operator: ComparisonOperator;
  readonly values: readonly Expression[];
}

export function chooseAccess(
  where: Expression | undefined,
  keyColumns: readonly KeyColumn[],
): ChosenAccess {
  const all = conjuncts(where);
  const tests = all.flatMap((conjunct) => keyTest(conjunct) ?? []);
  const used = new Set<Expression>();
  const take = (column: number, accept: (operator: ComparisonOperator) => boolean) => {
    const test = tests.find(
      (one) => one.column === column && accept(one.operator) && !used.has(one.conjunct),
    );
    if (test !== undefined) used.add(test.conjunct);
    return test;
  };
  const equals: (readonly Expression[])[] = [];
  let points = 1;
  for (const { index } of keyColumns) {
    const test = tests.find((one) => one.column === index && one.operator === '=');
    if (test === undefined || points * test.values.length > accessPointsMax) break;
    used.add(test.conjunct);
    points *= test.values.length;
    equals.push(test.values);
  }
  const next = keyColumns[equals.length];
  let lower: KeyBound | undefined;
  let upper: KeyBound | undefined;
  if (next !== undefined) {
    lower = bound(take(next.index, (operator) => operator === '>' || operator === '>='));
    upper = bound(take(next.index, (operator) => operator === '<' || operator === '<='));
  }
  const rest = all.filter((conjunct) => !used.has(conjunct));
  return { access: { equals, lower, upper }, filter: conjunction(rest) };
}

function bound(test: KeyTest | undefined): KeyBound | undefined {
  const value = test?.values[0];
  if (test === undefined || value === undefined) return undefined;
  return { value, inclusive: test.operator.endsWith('=') };
}

const mirrored: Readonly<Record<ComparisonOperator, ComparisonOperator>> = {
  '=': '=',
  '<>': '<>',
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
};

function keyTest(conjunct: Expression): KeyTest | undefined {
  if (conjunct.kind === 'comparison') {
    const left = columnOf(conjunct.left);
    if (!sharesKeys(conjunct.left.type, conjunct.right.type)) return undefined;
    if (left !== undefined && isRowIndependent(conjunct.right))
      return { conjunct, column: left, operator: conjunct.operator, values: [conjunct.right] };
    const right = columnOf(conjunct.right);
    if (right !== undefined && isRowIndependent(conjunct.left))
      return {
        conjunct,
        column: right,
        operator: mirrored[conjunct.operator],
        values: [conjunct.left],
      };
    return undefined;
  }
  if (conjunct.kind !== 'in' || conjunct.negated) return undefined;
  const column = columnOf(conjunct.left);
  if (column === undefined || !conjunct.items.every(isRowIndependent)) return undefined;
  if (!conjunct.items.every((item) => sharesKeys(conjunct.left.type, item.type))) return undefined;
  return { conjunct, column, operator: '=', values: conjunct.items };
}

/** Equal values of both types have equal keys, and keys of both order as the values do. */
function sharesKeys(left: SqlType, right: SqlType): boolean {
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
