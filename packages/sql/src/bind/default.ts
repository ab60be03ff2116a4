/** Column defaults: from CREATE TABLE's expression to what the descriptor stores, and back to an expression. */
import type { Node } from 'libpg-query';
import type { ColumnDefault, ColumnDescriptor } from '../catalog/descriptor.ts';
import { scalarFunctions } from '../functions/scalar.ts';
import { formatText, parseText, type TextContext } from '../types/text-codec.ts';
import { utcZone } from '../types/time-zone.ts';
import { timestamptzType } from '../types/type.ts';
import { ExpressionBinder } from './bind-expression.ts';
import { type AssignmentTarget, coerceToColumn } from './coerce.ts';
import type { BindContext } from './context.ts';
import { constant, type Expression } from './expression.ts';
import { emptyScope } from './scope.ts';

/** Stored texts do not depend on any session. */
const storedText: TextContext = { zone: utcZone, extraFloatDigits: 1, now: 0n };

/** Throws as any assignment does; 0A000 for expressions that are neither constant nor now(). */
export function bindDefault(
  context: BindContext,
  node: Node,
  column: AssignmentTarget,
): ColumnDefault | undefined {
  const bound = new ExpressionBinder(context, emptyScope(), 'DEFAULT').bind(node);
  if (bound.kind === 'parameter')
    throw context.error('42P02', `there is no parameter $${bound.index + 1}`, bound.location);
  const coerced = coerceDefault(context, bound, column);
  // A text that is too long for its column fails when it is inserted, not here.
  const value = coerced.kind === 'length' ? coerced.argument : coerced;
  if (isNow(value)) return { kind: 'now' };
  if (value.kind !== 'constant')
    throw context.unsupported(
      'DEFAULT expression that is neither a constant nor now()',
      bound.location,
    );
  if (value.value === null) return undefined;
  return { kind: 'constant', text: formatText(column.type, value.value, storedText) };
}

function coerceDefault(
  context: BindContext,
  bound: Expression,
  column: AssignmentTarget,
): Expression {
  try {
    return coerceToColumn(context, bound, column);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === '42804')
      throw context.error(
        '42804',
        `column "${column.name}" is of type ${column.type.display} but default expression is of type ${bound.type.display}`,
        undefined,
        { hint: 'You will need to rewrite or cast the expression.' },
      );
    throw error;
  }
}

function isNow(expression: Expression): boolean {
  return (
    expression.kind === 'call' &&
    expression.arguments.length === 0 &&
    ['now', 'transaction_timestamp'].includes(expression.signature.name)
  );
}

/** What a column gets that is given no value; undefined = NULL. */
export function defaultExpression(
  context: BindContext,
  column: ColumnDescriptor,
): Expression | undefined {
  const stored = column.default;
  if (stored === undefined) return undefined;
  if (stored.kind === 'constant') {
    if (stored.text === null) return undefined;
    const value = parseText(column.type, stored.text, storedText);
    return coerceToColumn(context, constant(column.type, value), column);
  }
  const [now] = scalarFunctions.get('now') ?? [];
  if (now === undefined || column.type !== timestamptzType)
    throw context.unsupported(`default of column "${column.name}"`);
  return {
    kind: 'call',
    type: timestamptzType,
    modifier: -1,
    location: undefined,
    signature: now,
    arguments: [],
  };
}
