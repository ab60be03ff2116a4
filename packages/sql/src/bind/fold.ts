/**
 * Constants that binding itself needs as constants: literals that were cast, bounds and lists of them. One that fails stays, and
 * so does all that has a column in it: what a statement names is checked before anything of it is left out (plan/simplify.ts).
 */
import { evaluatorOf } from '../execute/evaluate.ts';
import { SqlError } from '../sql-error.ts';
import type { BindContext } from './context.ts';
import { constant, type Expression } from './expression.ts';
import { children, startOf } from './expression-tree.ts';

export function fold(context: BindContext, expression: Expression): Expression {
  if (!foldable(expression)) return expression;
  if (!children(expression).every((child) => child.kind === 'constant')) return expression;
  try {
    const value = evaluatorOf(expression)([], context.evaluation);
    return constant(expression.type, value, startOf(expression), expression.modifier);
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
