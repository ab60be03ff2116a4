/**
 * In which order rows come: what storage, sorts, joins and conditions say about it. Expressions are over one row, FROM's or that of
 * a relation. What is not known is not said: an order that is there decides between plans, one that is missing costs a sort.
 */
import { column as columnAt, type Expression } from '../bind/expression.ts';
import { expressionKey } from '../bind/expression-key.ts';
import { mapChildren } from '../bind/expression-tree.ts';
import type { SortKey } from '../bind/relation.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { SqlType } from '../types/type.ts';
import { columnOf, dependsOnSession, sharesKeys } from './access-path.ts';
import { keyOf } from './choose-path.ts';
import type { ColumnSpan } from './from-tree.ts';
import { type AskedOrder, isFixed, refusesNull, type TablePath } from './plan-table.ts';

export interface OrderColumn {
  /** Rows come in the order of each of them. */
  readonly expressions: readonly Expression[];
  readonly descending: boolean;
  readonly nullsFirst: boolean;
  /** Some rows may have NULL there. */
  readonly nullable: boolean;
}

export interface RowOrder {
  readonly columns: readonly OrderColumn[];
  /** The same in all rows. */
  readonly fixed: readonly Expression[];
  /** Rows that are equal in the first `columns` columns of the order are equal in all columns of the span. */
  readonly keys: readonly { readonly columns: number; readonly span: ColumnSpan }[];
}

/** The order of a scan. @param offset of the table's first column in the row @param end of its columns */
export function scanOrder(
  table: TableDescriptor,
  { access, index }: TablePath,
  {
    reverse,
    offset,
    end,
  }: { readonly reverse: boolean; readonly offset: number; readonly end: number },
): RowOrder | undefined {
  const { parts, whole } = keyOf(table, index);
  if (parts.length === 0) return undefined;
  const columns: OrderColumn[] = [];
  const fixed: Expression[] = [];
  let isWhole = whole;
  for (const [i, part] of parts.entries()) {
    const { column, type, name } = part;
    const known = isFixed(access, i);
    if (column < 0) {
      if (known) continue;
      isWhole = false;
      break;
    }
    const expression = columnAt(type, offset + column, { name });
    if (known) fixed.push(expression);
    else
      columns.push({
        expressions: [expression],
        descending: part.descending !== reverse,
        nullsFirst: part.nullsFirst !== reverse,
        nullable: part.nullable && !refusesNull(access, i),
      });
  }
  const keys = isWhole ? [{ columns: columns.length, span: { from: offset, end } }] : [];
  return { columns, fixed, keys };
}

/** Whether both are the same value in each row. */
function isSameValue(a: Expression, b: Expression): boolean {
  const [x, y] = [columnOf(a), columnOf(b)];
  if (x !== undefined || y !== undefined) return x === y;
  return expressionKey(a) === expressionKey(b) && !dependsOnSession(a);
}

export function holdsValue(all: readonly Expression[], one: Expression): boolean {
  return all.some((other) => isSameValue(other, one));
}

/** Whether rows in this order are in the order that is asked for. */
export function givesOrder(order: RowOrder, asked: AskedOrder): boolean {
  const { columns, fixed, keys } = order;
  let at = 0;
  for (const { output, descending, nullsFirst } of asked.keys) {
    const wanted = asked.outputs[output];
    if (wanted === undefined) return false;
    const known = [...fixed, ...columns.slice(0, at).flatMap(({ expressions }) => expressions)];
    const index = columnOf(wanted);
    if (holdsValue(known, wanted)) continue;
    if (index !== undefined && keys.some((key) => key.columns <= at && isIn(key.span, index)))
      continue;
    const next = columns[at];
    if (next === undefined || !holdsValue(next.expressions, wanted)) return false;
    if (next.descending !== descending) return false;
    if (next.nullable && next.nullsFirst !== nullsFirst && asked.nullsAnywhere !== true)
      return false;
    at++;
  }
  return true;
}

function isIn({ from, end }: ColumnSpan, index: number): boolean {
  return index >= from && index < end;
}

/** The same order where conditions hold for all rows: what equals a column of it orders the rows as well, and is not NULL. */
export function withConditions(
  order: RowOrder | undefined,
  conditions: readonly Expression[],
): RowOrder | undefined {
  if (order === undefined) return undefined;
  const pairs = conditions.filter(
    (one) =>
      one.kind === 'comparison' &&
      one.operator === '=' &&
      sharesKeys(one.left.type, one.right.type) &&
      // What is not even the same as itself would be added again and again.
      !dependsOnSession(one),
  );
  if (pairs.length === 0) return order;
  const columns = order.columns.map((column) => {
    const expressions = [...column.expressions];
    const grown = grow(expressions, pairs);
    return { ...column, expressions, nullable: column.nullable && !grown };
  });
  const fixed = [...order.fixed];
  grow(fixed, pairs);
  return { ...order, columns, fixed };
}

/** Adds what equals one of them. @returns whether one of them is compared at all */
function grow(expressions: Expression[], pairs: readonly Expression[]): boolean {
  let found = false;
  for (let before = -1; before !== expressions.length; ) {
    before = expressions.length;
    for (const pair of pairs) {
      if (pair.kind !== 'comparison') continue;
      const [left, right] = [
        holdsValue(expressions, pair.left),
        holdsValue(expressions, pair.right),
      ];
      if (left || right) found = true;
      if (left !== right) expressions.push(left ? pair.right : pair.left);
    }
  }
  return found;
}

/** The order of a row that is computed from one in this order. */
export function projectedOrder(
  order: RowOrder | undefined,
  outputs: readonly Expression[],
): RowOrder | undefined {
  if (order === undefined) return undefined;
  const placed = (all: readonly Expression[]) =>
    outputs.flatMap((output, i) => (holdsValue(all, output) ? [columnAt(output.type, i)] : []));
  const columns: OrderColumn[] = [];
  for (const one of order.columns) {
    const expressions = placed(one.expressions);
    if (expressions.length === 0) break;
    columns.push({ ...one, expressions });
  }
  return { columns, fixed: placed(order.fixed), keys: [] };
}

export function sortedOrder(keys: readonly SortKey[], types: readonly SqlType[]): RowOrder {
  const columns = keys.flatMap(({ output, descending, nullsFirst }): OrderColumn[] => {
    const type = types[output];
    const nullable = true;
    return type === undefined
      ? []
      : [{ expressions: [columnAt(type, output)], descending, nullsFirst, nullable }];
  });
  return { columns, fixed: [], keys: [] };
}

/** The same of a row that begins further right in another one. */
export function movedOrder(order: RowOrder | undefined, by: number): RowOrder | undefined {
  if (order === undefined) return undefined;
  const moved = (one: Expression): Expression =>
    one.kind === 'column' ? { ...one, index: one.index + by } : mapChildren(one, moved);
  return {
    columns: order.columns.map((one) => ({ ...one, expressions: one.expressions.map(moved) })),
    fixed: order.fixed.map(moved),
    keys: order.keys.map(({ columns, span }) => ({
      columns,
      span: { from: span.from + by, end: span.end + by },
    })),
  };
}
