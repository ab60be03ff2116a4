/** Constant folding: an immutable expression over constants becomes its value. One that fails stays, and fails when run. */
import { evaluatorOf } from '../execute/evaluate.ts';
import { SqlError } from '../sql-error.ts';
import type { BindContext } from './context.ts';
import { children, constant, type Expression, startOf } from './expression.ts';

export function fold(context: BindContext, expression: Expression): Expression {
  if (!foldable(expression)) return expression;
  if (isSurelyNull(expression))
    return constant(expression.type, null, startOf(expression), expression.modifier);
  if (!children(expression).every((child) => child.kind === 'constant')) return expression;
  try {
    const value = evaluatorOf(expression)([], context.evaluation);
    return constant(expression.type, value, startOf(expression), expression.modifier);
  } catch (error) {
    if (error instanceof SqlError) return expression;
    throw error;
  }
}

/** A strict operation with a NULL among its arguments is NULL; as in PostgreSQL the others are not computed then. */
function isSurelyNull(expression: Expression): boolean {
  const strict =
    expression.kind === 'comparison' ||
    expression.kind === 'cast' ||
    expression.kind === 'length' ||
    (expression.kind === 'call' && expression.signature.strict);
  return (
    strict &&
    children(expression).some((child) => child.kind === 'constant' && child.value === null)
  );
}

function foldable(expression: Expression): boolean {
  switch (expression.kind) {
    case 'call':
      return expression.signature.volatility === 'immutable';
    case 'cast':
      return !expression.cast.stable;
    case 'comparison':
    case 'length':
    case 'is-null':
    case 'in':
    case 'distinct':
      return true;
    default:
      return false;
  }
}
