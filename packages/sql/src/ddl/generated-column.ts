/** What a generated column is computed from: judged when the column is made, over all columns that the table then has. */
import type { Node } from 'libpg-query';
import { ExpressionBinder } from '../bind/bind-expression.ts';
import type { BindContext } from '../bind/context.ts';
import type { Expression } from '../bind/expression.ts';
import { some } from '../bind/expression-tree.ts';
import { isMutable, printStored, tableScope } from '../bind/stored-expression.ts';
import type { ColumnDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import { SqlError } from '../sql-error.ts';

export interface GenerationPlace {
  readonly context: BindContext;
  readonly table: TableDescriptor;
  /** The table is being made: errors have a place in the statement. */
  readonly isNew: boolean;
}

/**
 * The text that the catalog keeps. Throws 42P17, 0A000.
 * @param pending attribute numbers of columns that become generated ones with this one
 */
export function generationText(
  { context, table, isNew }: GenerationPlace,
  column: ColumnDescriptor,
  node: Node | undefined,
  pending: readonly number[],
): string {
  const bound = new ExpressionBinder(context, tableScope(table), 'GENERATED').bind(node);
  if (some(bound, (one) => one.kind === 'subquery'))
    throw new SqlError('0A000', 'cannot use subquery in column generation expression');
  for (const one of table.columns) {
    if (one.generated === undefined && !pending.includes(one.attributeNumber)) continue;
    const read = readOf(bound, one);
    if (read !== undefined)
      throw context.error(
        '42P17',
        `cannot use generated column "${one.name}" in column generation expression`,
        isNew ? read.location : undefined,
        { detail: 'A generated column cannot reference another generated column.' },
      );
  }
  if (some(bound, isMutable))
    throw context.error('42P17', 'generation expression is not immutable', undefined);
  return printStored(bound, table, column);
}

/** Where an expression reads a column. */
function readOf(
  expression: Expression,
  { attributeNumber }: ColumnDescriptor,
): Expression | undefined {
  let found: Expression | undefined;
  some(expression, (one) => {
    if (one.kind === 'column' && one.attributeNumber === attributeNumber) found = one;
    return found !== undefined;
  });
  return found;
}
