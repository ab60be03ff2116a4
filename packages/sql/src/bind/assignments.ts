/** SET clauses: `column = value`, `column = DEFAULT`, `(a, b) = (1, 2)`, `(a, b) = (SELECT …)`. */
import type { Node } from 'libpg-query';
import type { ColumnDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import { baseModifier, baseType, isOfDomain } from '../types/domain.ts';
import { locationOf } from './ast.ts';
import type { ExpressionBinder } from './bind-expression.ts';
import { bindRowSubquery } from './bind-subquery.ts';
import type { Assignment } from './bound.ts';
import { coerceToColumn, ofBaseType } from './coerce.ts';
import type { BindContext } from './context.ts';
import { defaultExpression } from './default.ts';
import { column as columnOf, type Expression } from './expression.ts';
import { type ListItem, listWithStars } from './star.ts';
import { assignSubscripted } from './subscripted-target.ts';

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
  const seen = new Map<number, { readonly at: number; readonly subscripted: boolean }>();
  const done: Assignment[] = [];
  let row: readonly Expression[] = [];
  let items: readonly ListItem[] = [];
  for (const node of nodes) {
    if (!('ResTarget' in node)) throw context.unsupported('UPDATE target');
    const { name = '', val, location, indirection } = node.ResTarget;
    let value: Expression | undefined;
    if (val !== undefined && 'MultiAssignRef' in val) {
      const { colno = 1, ncolumns = 1, source } = val.MultiAssignRef;
      const item = source !== undefined && 'RowExpr' in source ? source.RowExpr : undefined;
      if (item !== undefined) {
        if (colno === 1) items = listWithStars(binder, item.args ?? []);
        if (items.length !== ncolumns) throw wrongCount(context, source);
        const own = items[colno - 1];
        const isDefault = own === undefined || 'SetToDefault' in own.node;
        value = isDefault ? undefined : (own.bound ?? binder.bind(own.node));
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
    const earlier = seen.get(index);
    const subscripted = indirection !== undefined;
    if (earlier !== undefined && !(subscripted && earlier.subscripted))
      throw context.error('42601', `multiple assignments to same column "${name}"`, undefined);
    seen.set(index, { at: earlier?.at ?? done.length, subscripted });
    if (value !== undefined && (column.identity === 'always' || column.generated !== undefined))
      throw context.error('428C9', `column "${name}" can only be updated to DEFAULT`, undefined, {
        detail:
          column.generated === undefined
            ? `Column "${name}" is an identity column defined as GENERATED ALWAYS.`
            : `Column "${name}" is a generated column.`,
      });
    if (subscripted) {
      if (value === undefined)
        throw context.error('0A000', 'cannot set an array element to DEFAULT', location);
      const before = earlier && done[earlier.at]?.value;
      const part = assignSubscripted(
        binder,
        {
          ...column,
          type: baseType(column.type),
          modifier: baseModifier(column.type, column.modifier),
        },
        ofBaseType(before ?? columnBefore(table, index, column)),
        indirection,
        { value, location },
      );
      const whole = isOfDomain(column.type) ? coerceToColumn(context, part, column) : part;
      done[earlier?.at ?? done.length] = { column: index, value: whole };
    } else if (value === undefined)
      done.push({ column: index, value: defaultExpression(context, column) });
    else done.push({ column: index, value: coerceToColumn(context, value, column) });
  }
  return done;
}

/** The written table's row stands first. */
function columnBefore(
  table: TableDescriptor,
  index: number,
  { name, type, modifier, attributeNumber }: ColumnDescriptor,
): Expression {
  const from = { name, modifier, attributeNumber, relation: table.name, tableOid: table.id };
  return columnOf(type, index, from);
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
