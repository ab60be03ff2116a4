/** SET clauses: `column = value`, `column = DEFAULT`, `(a, b) = (1, 2)`, `(a, b) = (SELECT …)`. */
import type { Node } from 'libpg-query';
import type { ColumnDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import { locationOf } from './ast.ts';
import type { ExpressionBinder } from './bind-expression.ts';
import { bindRowSubquery } from './bind-subquery.ts';
import type { Assignment } from './bound.ts';
import { coerceToColumn } from './coerce.ts';
import type { BindContext } from './context.ts';
import { defaultExpression } from './default.ts';
import type { Expression } from './expression.ts';

export interface Target {
  readonly index: number;
  readonly column: ColumnDescriptor;
}

/** Throws 42703. */
export function columnByName(
  context: BindContext,
  table: TableDescriptor,
  name: string,
  location: number | undefined,
): Target {
  const index = table.columns.findIndex((column) => column.name === name);
  const column = table.columns[index];
  if (column !== undefined) return { index, column };
  throw context.error(
    '42703',
    `column "${name}" of relation "${table.name}" does not exist`,
    location,
  );
}

/** Throws 42703, 42601, 42804, 0A000. */
export function bindAssignments(
  binder: ExpressionBinder,
  table: TableDescriptor,
  nodes: readonly Node[],
): Assignment[] {
  const { context } = binder;
  const seen = new Set<number>();
  let row: readonly Expression[] = [];
  return nodes.map((node) => {
    if (!('ResTarget' in node)) throw context.unsupported('UPDATE target');
    const { name = '', val, location, indirection } = node.ResTarget;
    if (indirection !== undefined) throw context.unsupported('subscripted UPDATE target', location);
    let value: Expression | undefined;
    if (val !== undefined && 'MultiAssignRef' in val) {
      const { colno = 1, ncolumns = 1, source } = val.MultiAssignRef;
      const item = source !== undefined && 'RowExpr' in source ? source.RowExpr : undefined;
      if (item !== undefined) {
        const args = item.args ?? [];
        if (args.length !== ncolumns) throw wrongCount(context, source);
        const own = args[colno - 1];
        value = own === undefined || 'SetToDefault' in own ? undefined : binder.bind(own);
      } else if (source !== undefined && 'SubLink' in source) {
        if (colno === 1) row = bindRowSubquery(binder, source.SubLink);
        if (row.length !== ncolumns) throw wrongCount(context, source);
        value = row[colno - 1];
      } else
        throw context.error(
          '0A000',
          'source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression',
          source === undefined ? undefined : locationOf(source),
        );
    } else if (val !== undefined && !('SetToDefault' in val)) value = binder.bind(val);
    const { index, column } = columnByName(context, table, name, location);
    if (seen.has(index))
      throw context.error('42601', `multiple assignments to same column "${name}"`, undefined);
    seen.add(index);
    if (value !== undefined && (column.identity === 'always' || column.generated !== undefined))
      throw context.error('428C9', `column "${name}" can only be updated to DEFAULT`, undefined, {
        detail:
          column.generated === undefined
            ? `Column "${name}" is an identity column defined as GENERATED ALWAYS.`
            : `Column "${name}" is a generated column.`,
      });
    if (value === undefined) return { column: index, value: defaultExpression(context, column) };
    return { column: index, value: coerceToColumn(context, value, column) };
  });
}

/** The columns that are written, by attribute number. */
export function assigned(table: TableDescriptor, all: readonly Assignment[]): number[] {
  return all.flatMap(({ column }) => table.columns[column]?.attributeNumber ?? []);
}

function wrongCount(context: BindContext, source: Node | undefined) {
  return context.error(
    '42601',
    'number of columns does not match number of values',
    source === undefined ? undefined : locationOf(source),
  );
}
