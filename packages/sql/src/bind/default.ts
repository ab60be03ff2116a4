/** Column defaults: from the expression as written to what the descriptor stores, and back to an expression. */
import type { Node } from 'libpg-query';
import type { ColumnDefault, ColumnDescriptor } from '../catalog/descriptor.ts';
import { scalarFunctions } from '../functions/scalar.ts';
import { identityValue } from '../functions/sequences.ts';
import type { Signature } from '../functions/signature.ts';
import { baseType, isConstrained } from '../types/domain.ts';
import { storedText } from '../types/stored-text.ts';
import { formatText, parseText } from '../types/text-codec.ts';
import { int8Type, regclassType, timestamptzType } from '../types/type.ts';
import { ExpressionBinder } from './bind-expression.ts';
import { type AssignmentTarget, coerceToColumn } from './coerce.ts';
import type { BindContext } from './context.ts';
import { constant, type Expression } from './expression.ts';
import { some } from './expression-tree.ts';
import { emptyScope } from './scope.ts';
import { bindStored, printStored } from './stored-expression.ts';

const nullDefault: ColumnDefault = { kind: 'constant', text: null };

/** Throws as any assignment does. */
export function bindDefault(
  context: BindContext,
  node: Node,
  column: AssignmentTarget,
): ColumnDefault | undefined {
  const bound = new ExpressionBinder(context, emptyScope(), 'DEFAULT').bind(node);
  if (bound.kind === 'parameter')
    throw context.error('42P02', `there is no parameter $${bound.index + 1}`, bound.location);
  if (some(bound, (one) => one.kind === 'subquery'))
    throw context.error('0A000', 'cannot use subquery in DEFAULT expression', bound.location);
  // As it was written: length and scale are the column's, and what does not fit fails when it is inserted, not here.
  const type = baseType(column.type);
  const value = coerceDefault(context, bound, { ...column, type, modifier: -1 });
  if (isNow(value)) return { kind: 'now' };
  if (value.kind === 'constant') {
    // In place of what a domain has as default.
    if (value.value === null) return type === column.type ? undefined : nullDefault;
    return { kind: 'constant', text: formatText(type, value.value, storedText) };
  }
  return (
    sequenceDefault(bound) ?? { kind: 'expression', text: printStored(bound, undefined, column) }
  );
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

function sequenceDefault(bound: Expression): ColumnDefault | undefined {
  if (bound.kind !== 'call' || bound.signature.name !== 'nextval') return undefined;
  const [sequence] = bound.arguments;
  if (sequence?.kind !== 'constant' || typeof sequence.value !== 'number') return undefined;
  return { kind: 'nextval', sequence: sequence.value };
}

/** What a column gets that is given no value; undefined = NULL. */
export function defaultExpression(
  context: BindContext,
  column: ColumnDescriptor,
): Expression | undefined {
  const own = column.default ?? context.names.snapshot.descriptorOf(column.type)?.domain?.default;
  const stored = own ?? (isConstrained(column.type) ? nullDefault : undefined);
  if (stored === undefined) return undefined;
  switch (stored.kind) {
    case 'constant': {
      if (stored.text === null && !isConstrained(column.type)) return undefined;
      const type = baseType(column.type);
      const value = stored.text === null ? null : parseText(type, stored.text, storedText);
      return coerceToColumn(context, constant(type, value), column);
    }
    case 'now': {
      const now = call('now', timestamptzType, []);
      return coerceToColumn(context, now, column);
    }
    case 'nextval': {
      const sequence = constant(regclassType, stored.sequence);
      const next = call('nextval', int8Type, [sequence], column.identity && identityValue);
      return coerceToColumn(context, next, column);
    }
    case 'expression':
      return coerceToColumn(context, bindStored(stored.text, 'DEFAULT', undefined), column);
  }
}

function call(
  name: string,
  type: Expression['type'],
  values: readonly Expression[],
  given?: Signature,
): Expression {
  const signature = given ?? scalarFunctions.get(name)?.[0];
  if (signature === undefined) throw new RangeError(`${name} is a function`);
  return { kind: 'call', type, modifier: -1, location: undefined, signature, arguments: values };
}
