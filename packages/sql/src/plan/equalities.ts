/** Equalities between parts of FROM that order rows alike. */
import type { ComparisonExpression, Expression } from '../bind/expression.ts';
import { columnOf, sharesKeys } from './access-path.ts';
import { columnsOf, holds, type Leaf } from './from-tree.ts';

/** Whether both sides are equal as far as any order is concerned. */
export function isEquality(one: Expression): one is ComparisonExpression {
  return (
    one.kind === 'comparison' && one.operator === '=' && sharesKeys(one.left.type, one.right.type)
  );
}

/** Equalities of a column of the leaf with something else, turned so that the leaf's is on the right. */
export function pairsOf(
  conditions: readonly Expression[],
  leaf: Pick<Leaf, 'from' | 'end'>,
): ComparisonExpression[] {
  const isOwn = (one: Expression) => {
    const offset = columnOf(one);
    return offset !== undefined && holds(leaf, offset);
  };
  const isOther = (one: Expression) => {
    const columns = columnsOf(one);
    return columns.length > 0 && !columns.some((offset) => holds(leaf, offset));
  };
  return conditions.filter(isEquality).flatMap((one): ComparisonExpression[] => {
    if (isOwn(one.right) && isOther(one.left)) return [one];
    if (isOwn(one.left) && isOther(one.right))
      return [{ ...one, left: one.right, right: one.left }];
    return [];
  });
}
