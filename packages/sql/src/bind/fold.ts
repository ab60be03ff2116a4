/** Constant folding: an immutable expression over constants becomes its value. One that fails stays, and fails when run. */
import { evaluatorOf } from '../execute/evaluate.ts';
import { SqlError } from '../sql-error.ts';
import type { BindContext } from './context.ts';
import { children, constant, type Expression } from './expression.ts';

export function fold(context: BindContext, expression: Expression): Expression {
  if (!foldable(expression)) return expression;
  if (!children(expression).every((child) => child.kind === 'constant')) return expression;
  try {
    const value = evaluatorOf(expression)([], context.evaluation);
    return constant(expression.type, value, expression.location, expression.modifier);
  } catch (error) {
    if (error instanceof SqlError) return expression;
    throw error;
  }
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
