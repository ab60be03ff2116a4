/** What is known of the leaves of FROM before anything is planned: rows, costs, keys, orders that they can come in. */
import { conjunction } from '../bind/conjuncts.ts';
import type { Expression } from '../bind/expression.ts';
import type { TableSource } from '../bind/relation.ts';
import { columnOf, type KeyPart } from './access-path.ts';
import { type ChosenPath, choosePath, knownTable, type PlanSources } from './choose-path.ts';
import { distinctOf, selectivityOf, unknownTableRows } from './estimate.ts';
import { type Leaf, localConditions, shifted, touches } from './from-tree.ts';
import { indexesOf } from './index-path.ts';
import { isLarge } from './join-cost.ts';
import type { Estimated } from './join-order.ts';
import { type AskedOrder, primaryPartsOf } from './plan-table.ts';

export class LeafEstimates {
  readonly sources: PlanSources;

  constructor(sources: PlanSources) {
    this.sources = sources;
  }

  /** Of all combinations of rows, those that are left. */
  shareOf(leaves: readonly Leaf[], conditions: readonly Expression[]): number {
    return conditions.reduce((all, one) => all * this.joinSelectivity(leaves, one), 1);
  }

  private joinSelectivity(leaves: readonly Leaf[], condition: Expression): number {
    if (condition.kind !== 'comparison' || condition.operator !== '=') return 0.4;
    const [left, right] = [condition.left, condition.right].map((side) => {
      const [leaf] = leaves.filter((one) => touches(side, one));
      if (leaf?.tree.kind !== 'item' || leaf.tree.source.kind !== 'table') return 1;
      const known = knownTable(leaf.tree.source.table, this.sources);
      return distinctOf(shifted(side, -leaf.from), known);
    });
    return 1 / Math.max(1, left ?? 1, right ?? 1);
  }

  /** A leaf read by itself. */
  leafCost(leaf: Leaf, conditions: readonly Expression[]): Estimated {
    const { tree } = leaf;
    if (tree.kind === 'join') return { rows: unknownTableRows, cost: unknownTableRows };
    const { source } = tree;
    if (source.kind === 'table') return this.tablePath(source, localConditions(leaf, conditions));
    const selectivity = conditions.reduce((all, one) => all * selectivityOf(one), 1);
    const all = source.kind === 'values' ? source.rows.length : 1_000;
    return { rows: Math.max(1, all * selectivity), cost: all };
  }

  /** The cheapest way to read a table in an order; undefined: there is none. */
  orderedPath(
    leaf: Leaf,
    conditions: readonly Expression[],
    {
      asked,
      needed,
    }: { readonly asked: AskedOrder; readonly needed: readonly boolean[] | undefined },
  ): ChosenPath | undefined {
    const { tree } = leaf;
    if (tree.kind !== 'item' || tree.source.kind !== 'table' || tree.arguments.length > 0)
      return undefined;
    const { sources } = this;
    const path = choosePath({
      table: tree.source.table,
      where: conjunction(localConditions(leaf, conditions)),
      needed: needed?.slice(leaf.from, leaf.end),
      order: { ...asked, offset: leaf.from, limit: undefined, must: true },
      sources,
    });
    return path.order === undefined ? undefined : path;
  }

  /** The keys of a table that is a leaf. */
  keysOf({ tree }: Leaf): readonly (readonly KeyPart[])[] {
    if (tree.kind !== 'item' || tree.source.kind !== 'table' || tree.arguments.length > 0)
      return [];
    const { table } = tree.source;
    return [primaryPartsOf(table), ...indexesOf(table).map(({ parts }) => parts)];
  }

  /** Whether a leaf may come in the order of a column: a key has it in front of it, or so many rows are sorted rather than hashed. */
  mayCome(leaf: Leaf, own: Expression): boolean {
    const isKey = this.keysOf(leaf).some((parts) =>
      parts.some((part) => part.column >= 0 && part.column + leaf.from === columnOf(own)),
    );
    return isKey || isLarge(this.leafCost(leaf, []).rows);
  }

  tablePath({ table }: TableSource, conditions: readonly Expression[]): ChosenPath {
    const { sources } = this;
    const where = conjunction(conditions);
    return choosePath({ table, where, needed: undefined, order: undefined, sources });
  }
}
