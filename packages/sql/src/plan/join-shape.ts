/** What all joins of two parts have in common: what is asked of them, the columns of their rows, the order that they keep. */
import { conjunction } from '../bind/conjuncts.ts';
import type { ComparisonExpression, Expression } from '../bind/expression.ts';
import { markColumns } from '../bind/expression-tree.ts';
import { sharedHashKey } from '../execute/hash-key.ts';
import type { JoinShape, PhysicalJoinType } from '../execute/join.ts';
import type { Compiler } from './compile.ts';
import type { Part } from './from-part.ts';
import { columnsOf, type Leaf } from './from-tree.ts';
import type { DecidedStep } from './join-search.ts';
import { type RowOrder, withConditions } from './row-order.ts';

export interface JoinRequest {
  readonly type: PhysicalJoinType;
  /** Predicates on the right side alone. */
  readonly own: readonly Expression[];
  /** Those that connect it with the left side. */
  readonly conditions: readonly Expression[];
  /** By offset into FROM's row: what is read above. */
  readonly needed: readonly boolean[];
  /** What the search has decided, if it has. */
  readonly step?: DecidedStep | undefined;
}

/** Which columns of both sides the joined row takes, and where they then are. */
export function joinShape(
  compiler: Compiler,
  {
    type,
    left,
    right,
    conditions,
    needed,
  }: {
    readonly type: PhysicalJoinType;
    readonly left: Part;
    readonly right: Pick<Part, 'layout'>;
    /** Over both sides, that have not been asked yet. */
    readonly conditions: readonly Expression[];
    readonly needed: readonly boolean[];
  },
): { readonly shape: JoinShape; readonly layout: number[]; readonly width: number } {
  const wanted = neededColumns(needed, conditions);
  const layout = new Array<number>(left.layout.length).fill(-1);
  let width = 0;
  const take = (from: readonly number[]): number[] => {
    const columns: number[] = [];
    for (let i = 0; i < left.layout.length; i++) {
      const place = from[i] ?? -1;
      if (place < 0 || wanted[i] !== true) continue;
      layout[i] = width++;
      columns.push(place);
    }
    return columns;
  };
  const shape = { type, left: take(left.layout), right: take(right.layout) };
  const condition = conjunction(conditions);
  const evaluator = condition === undefined ? undefined : compiler.evaluator(condition, layout);
  return { shape: { ...shape, condition: evaluator }, layout, width };
}

/** The left side's order, where its rows go on one after the other. */
export function orderAfter(
  type: PhysicalJoinType,
  order: RowOrder | undefined,
  conditions: readonly Expression[],
): RowOrder | undefined {
  if (type === 'full' || type === 'right') return undefined;
  return type === 'inner' ? withConditions(order, conditions) : order;
}

export function joinWord(type: PhysicalJoinType): string {
  switch (type) {
    case 'inner':
      return 'Join';
    case 'left':
      return 'Left Join';
    case 'right':
      return 'Right Join';
    case 'full':
      return 'Full Join';
    case 'semi':
      return 'Semi Join';
    case 'anti':
      return 'Anti Join';
  }
}

/** `left = right` with one side over either part: sides in the order of the parts. */
export function equality(
  one: Expression,
  left: readonly number[],
  right: readonly number[],
): ComparisonExpression | undefined {
  if (one.kind !== 'comparison' || one.operator !== '=') return undefined;
  const over = (side: Expression, layout: readonly number[]) => {
    const columns = columnsOf(side);
    return columns.length > 0 && columns.every((column) => (layout[column] ?? -1) >= 0);
  };
  if (sharedHashKey([one.left.type], [one.right.type]) === undefined) return undefined;
  if (over(one.left, left) && over(one.right, right)) return one;
  if (over(one.left, right) && over(one.right, left))
    return { ...one, left: one.right, right: one.left };
  return undefined;
}

/** What is read above, and by what has not been applied yet. */
export function neededColumns(
  required: readonly boolean[],
  pending: Iterable<Expression>,
  left: Iterable<Leaf> = [],
): boolean[] {
  const needed = [...required];
  for (const one of pending) markColumns(one, needed);
  for (const leaf of left) for (const column of leaf.needs) needed[column] = true;
  return needed;
}
