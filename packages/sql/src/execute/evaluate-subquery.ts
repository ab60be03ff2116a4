/** What expressions make of a query's result: its value, EXISTS, and comparisons with any or all of its rows. */

import { conjuncts } from '../bind/conjuncts.ts';
import type { Expression, SubqueryExpression } from '../bind/expression.ts';
import { nestArrays } from '../functions/array-values.ts';
import type { EvalContext } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';
import { ArrayValue } from '../types/values.ts';
import { type Evaluator, evaluatorOf, type Row } from './evaluate.ts';
import { type HashKey, sharedHashKey } from './hash-key.ts';
import type { Members, SubqueryResult } from './subplan.ts';

/** Results of fewer rows are walked. */
const hashedRowsMin = 8;

export function subqueryEvaluator(expression: SubqueryExpression): Evaluator {
  const { subplan, column, form } = expression;
  if (subplan === undefined) throw new RangeError('a subquery is planned before it is evaluated');
  const values = expression.arguments.map(evaluatorOf);
  const resultFor = (row: Row, context: EvalContext): SubqueryResult =>
    subplan.result(
      values.map((evaluate) => evaluate(row, context)),
      context,
    );
  if (form === 'exists')
    return (row, context) => {
      const result = resultFor(row, context);
      return result.kind === 'exists' && result.exists;
    };
  if (form === 'scalar')
    return (row, context) => {
      const result = resultFor(row, context);
      return result.kind === 'row' ? (result.row?.[column] ?? null) : null;
    };
  if (form === 'array') {
    const nested = expression.type === expression.query.types[0];
    return (row, context) => {
      const result = resultFor(row, context);
      if (result.kind !== 'rows') return null;
      const values = result.rows.map((one) => one[0] ?? null);
      return nested ? nestArrays(values) : new ArrayValue(values);
    };
  }
  return quantifiedEvaluator(expression, resultFor);
}

function quantifiedEvaluator(
  expression: SubqueryExpression,
  resultFor: (row: Row, context: EvalContext) => SubqueryResult,
): Evaluator {
  const operands = expression.operands.map(evaluatorOf);
  if (expression.test === undefined) throw new RangeError('ANY and ALL have a test');
  const test = evaluatorOf(expression.test);
  const decided = expression.form === 'any';
  const hashing = hashingOf(expression);
  return (row, context) => {
    const result = resultFor(row, context);
    if (result.kind !== 'rows') return null;
    const { rows } = result;
    if (rows.length === 0) return !decided;
    const left = operands.map((evaluate) => evaluate(row, context));
    if (hashing !== undefined && rows.length >= hashedRowsMin && !left.includes(null)) {
      result.members ??= membersOf(rows, hashing);
      const found = result.members.keys.has(hashing.left(left));
      if (found) return hashing.whenFound;
      // With several columns a row with a NULL may differ in another one: those are walked.
      if (!result.members.hasNull) return !hashing.whenFound;
      if (left.length === 1) return null;
    }
    let answer: boolean | null = !decided;
    for (const one of rows) {
      const verdict = test([...left, ...one], context);
      if (verdict === decided) return decided;
      if (verdict === null) answer = null;
    }
    return answer;
  };
}

interface Hashing {
  left(row: Row): HashKey;
  /** Over a row of the query. */
  right(row: Row): HashKey;
  readonly width: number;
  readonly whenFound: boolean;
}

/** `= ANY` and `<> ALL` over the query's bare columns can be looked up. */
function hashingOf(expression: SubqueryExpression): Hashing | undefined {
  const { form, test, operands } = expression;
  const operator = form === 'any' ? '=' : '<>';
  const joint = form === 'any' ? 'and' : 'or';
  const parts = test?.kind === joint && joint === 'or' ? test.arguments : conjuncts(test);
  if (parts.length !== operands.length) return undefined;
  const rights: Expression[] = [];
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i];
    if (part?.kind !== 'comparison' || part.operator !== operator) return undefined;
    if (part.left.kind !== 'column' || part.left.index !== i) return undefined;
    if (part.right.kind !== 'column' || part.right.index !== operands.length + i) return undefined;
    rights.push(part.right);
  }
  const key = sharedHashKey(
    operands.map((one) => one.type),
    rights.map((one) => one.type),
  );
  if (key === undefined) return undefined;
  return { left: key, right: key, width: operands.length, whenFound: form === 'any' };
}

function membersOf(rows: readonly Row[], hashing: Hashing): Members {
  const keys = new Set<Datum>();
  let hasNull = false;
  for (const row of rows) {
    if (row.slice(0, hashing.width).includes(null)) hasNull = true;
    else keys.add(hashing.right(row));
  }
  return { keys, hasNull };
}
