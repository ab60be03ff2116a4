/** What two sides that come in order can be merged by: equalities that are the beginning of both orders. */
import type { ComparisonExpression, Expression } from '../bind/expression.ts';
import type { SortKey } from '../bind/relation.ts';
import { type Comparator, compareOrdinary } from '../types/codec.ts';
import { comparatorOf } from '../types/compare.ts';
import { isText, type SqlType, textType } from '../types/type.ts';
import { isEquality } from './equalities.ts';
import type { AskedOrder } from './plan-table.ts';
import { holdsValue, type OrderColumn, type RowOrder } from './row-order.ts';

export interface MergePair {
  readonly condition: ComparisonExpression;
  readonly descending: boolean;
}

export interface CommonOrder {
  readonly pairs: readonly MergePair[];
  /** Columns of either order that the pairs are about. */
  readonly left: number;
  readonly right: number;
  /** Of the first pair: NULLs come last, or not at all. */
  readonly nullsLast: { readonly left: boolean; readonly right: boolean };
}

/**
 * The longest common beginning of two orders. What is the same in all rows of a side is in order wherever it stands.
 * @param conditions equalities with what is of the left side on the left
 */
export function commonOrder(
  left: RowOrder,
  right: RowOrder,
  conditions: readonly ComparisonExpression[],
): CommonOrder | undefined {
  const open = new Set(conditions.filter(isEquality));
  const pairs: MergePair[] = [];
  let [i, j] = [0, 0];
  let nullsLast = { left: false, right: false };
  const isAt = (column: OrderColumn | undefined, one: Expression) =>
    column !== undefined && holdsValue(column.expressions, one);
  for (;;) {
    const [a, b] = [left.columns[i], right.columns[j]];
    const found = [...open].find((one) => {
      const [inA, inB] = [isAt(a, one.left), isAt(b, one.right)];
      if (inA && inB) return a?.descending === b?.descending;
      return (
        (inA && holdsValue(right.fixed, one.right)) || (inB && holdsValue(left.fixed, one.left))
      );
    });
    if (found === undefined) break;
    open.delete(found);
    const [inA, inB] = [isAt(a, found.left), isAt(b, found.right)];
    const descending = (inA ? a : b)?.descending === true;
    if (pairs.length === 0) nullsLast = { left: inA && isLast(a), right: inB && isLast(b) };
    pairs.push({ condition: found, descending });
    if (inA) i++;
    if (inB) j++;
  }
  return pairs.length === 0 ? undefined : { pairs, left: i, right: j, nullsLast };
}

function isLast(column: OrderColumn | undefined): boolean {
  return column !== undefined && !column.nullsFirst;
}

/** What the other side would have to be in order of. @param conditions as above; the right sides are columns */
export function orderForRight(
  left: RowOrder,
  conditions: readonly ComparisonExpression[],
): (AskedOrder & { readonly pairs: readonly MergePair[] }) | undefined {
  const open = new Set(conditions.filter(isEquality));
  const pairs: MergePair[] = [];
  const keys: SortKey[] = [];
  for (const column of left.columns) {
    const found = [...open].find((one) => holdsValue(column.expressions, one.left));
    if (found === undefined) break;
    open.delete(found);
    const { descending } = column;
    keys.push({ output: pairs.length, descending, nullsFirst: descending });
    pairs.push({ condition: found, descending });
  }
  if (pairs.length === 0) return undefined;
  const outputs = pairs.map(({ condition }) => condition.right);
  return { keys, outputs, pairs, nullsAnywhere: true };
}

/** How values of two types that share keys compare, as their keys do. */
export function sharedComparator(left: SqlType, right: SqlType): Comparator {
  if (isText(left)) return comparatorOf(textType);
  return left === right ? comparatorOf(left) : compareOrdinary;
}
