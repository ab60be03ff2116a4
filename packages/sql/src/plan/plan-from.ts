/**
 * Joins: the items of FROM are taken in the order that keeps intermediate results small (join-search.ts), predicates go down to
 * where their columns first are, and each step becomes a key lookup, a hash join, a lateral or a nested loop (plan-join.ts).
 */
import { conjuncts } from '../bind/conjuncts.ts';
import type { Expression } from '../bind/expression.ts';
import type { From, FromTree } from '../bind/relation.ts';
import type { PhysicalJoinType } from '../execute/join.ts';
import { OneRowOperator } from '../execute/sources.ts';
import { SqlError } from '../sql-error.ts';
import { hasSubquery } from './compile.ts';
import type { Ordering, Part } from './from-part.ts';
import {
  flatten,
  isCovered,
  isWithin,
  type Leaf,
  lateralNeeds,
  spanOf,
  touches,
} from './from-tree.ts';
import { JoinSearch } from './join-search.ts';
import { type JoinRequest, neededColumns } from './join-shape.ts';
import { LeafEstimates } from './leaf-estimates.ts';
import { ItemPlanner } from './plan-item.ts';
import { JoinPlanner } from './plan-join.ts';
import { MergePlanner } from './plan-merge.ts';
import type { Planned, RelationPlanner } from './plan-relation.ts';
import type { AskedOrder } from './plan-table.ts';
import { givesOrder } from './row-order.ts';

export function planFrom(
  planner: RelationPlanner,
  from: From,
  required: readonly boolean[],
  ordering?: Ordering,
): Planned {
  const builder = new FromPlanner(planner, from.types.length);
  const part = builder.region(from.tree, conjuncts(from.where), required, ordering);
  if (ordering !== undefined && part.order !== undefined)
    ordering.found ||= givesOrder(part.order, ordering);
  return part;
}

class FromPlanner {
  private readonly planner: RelationPlanner;
  private readonly total: number;
  private readonly search: JoinSearch;
  private readonly items: ItemPlanner;
  private readonly joins: JoinPlanner;
  private readonly merges: MergePlanner;

  constructor(planner: RelationPlanner, total: number) {
    this.planner = planner;
    this.total = total;
    const estimates = new LeafEstimates(planner.sources);
    this.search = new JoinSearch(estimates);
    this.items = new ItemPlanner(planner, total);
    this.joins = new JoinPlanner(planner, total, { items: this.items, estimates });
    this.merges = new MergePlanner(planner, estimates);
  }

  /** Inner joins, in whatever order, and the predicates over them. */
  region(
    tree: FromTree,
    where: readonly Expression[],
    required: readonly boolean[],
    ordering?: Ordering,
  ): Part {
    const leaves: Leaf[] = [];
    const all = [...where];
    flatten(tree, all, leaves);
    // Queries are dear: what needs none is asked first.
    const pending = new Set([
      ...all.filter((one) => !hasSubquery(one)),
      ...all.filter(hasSubquery),
    ]);
    const [only] = leaves;
    if (only !== undefined && leaves.length === 1)
      return this.leaf(only, [...pending], required, ordering);
    return this.joinAll(leaves, pending, required, ordering);
  }

  private joinAll(
    leaves: readonly Leaf[],
    pending: Set<Expression>,
    required: readonly boolean[],
    ordering: Ordering | undefined,
  ): Part {
    const own = new Map<Leaf, Expression[]>();
    for (const leaf of leaves) own.set(leaf, []);
    const [first] = leaves;
    for (const one of pending) {
      const touched = leaves.filter((leaf) => touches(one, leaf));
      const [only] = touched.length === 0 && first !== undefined ? [first] : touched;
      if (only === undefined || touched.length > 1) continue;
      own.get(only)?.push(one);
      pending.delete(one);
    }
    const conditionsOf = (leaf: Leaf) => own.get(leaf) ?? [];
    const left = new Set(leaves);
    let current: Part | undefined;
    const done: Leaf[] = [];
    const conditions = [...pending];
    const read = neededColumns(required, conditions, leaves);
    const decision = this.search.decide(
      { leaves, conditions, conditionsOf, needed: read, type: 'inner' },
      ordering,
    );
    while (left.size > 0) {
      const next =
        decision?.leaves[done.length] ??
        this.search.choose(left, done, pending, conditionsOf, current);
      left.delete(next);
      done.push(next);
      const usable = [...pending].filter((one) => isCovered(one, done));
      for (const one of usable) pending.delete(one);
      const needed = neededColumns(required, pending, left);
      const own = conditionsOf(next);
      if (current !== undefined) this.planner.noted(current);
      if (current === undefined)
        current =
          next.tree.kind === 'item' && next.tree.arguments.length > 0
            ? this.join(this.nothing(), next, { type: 'inner', own, conditions: usable, needed })
            : this.leaf(next, own, needed, decision?.first && inOrder(decision.first));
      else {
        const step = decision?.steps.get(next);
        current = this.join(current, next, {
          type: 'inner',
          own,
          conditions: usable,
          needed,
          step,
        });
      }
    }
    if (current === undefined) throw new RangeError('FROM has an item');
    return current;
  }

  private nothing(): Part {
    const layout = new Array<number>(this.total).fill(-1);
    return { operator: new OneRowOperator(), layout, width: 0, rows: 1 };
  }

  /** One leaf by itself. */
  private leaf(
    leaf: Leaf,
    conditions: readonly Expression[],
    required: readonly boolean[],
    ordering?: Ordering,
  ): Part {
    const { tree } = leaf;
    if (tree.kind === 'join') return this.outerJoin(tree, conditions, required, ordering);
    if (tree.arguments.length > 0) {
      const needed = [...required];
      return this.join(this.nothing(), leaf, {
        type: 'inner',
        own: conditions,
        conditions: [],
        needed,
      });
    }
    return this.items.item(tree, conditions, required, ordering);
  }

  /** LEFT, RIGHT and FULL joins; `above` are predicates over the result. */
  private outerJoin(
    tree: Extract<FromTree, { kind: 'join' }>,
    above: readonly Expression[],
    required: readonly boolean[],
    ordering: Ordering | undefined,
  ): Part {
    // A RIGHT join is a LEFT join the other way round.
    const swapped = tree.type === 'right';
    const [outer, inner] = swapped ? [tree.right, tree.left] : [tree.left, tree.right];
    const type: PhysicalJoinType = tree.type === 'full' ? 'full' : 'left';
    const outerSpan = spanOf(outer);
    const innerSpan = spanOf(inner);
    const early = above.filter((one) => type === 'left' && isWithin(one, outerSpan));
    const late = above.filter((one) => !early.includes(one));
    const on = conjuncts(tree.condition);
    const own = on.filter((one) => type === 'left' && isWithin(one, innerSpan));
    const conditions = on.filter((one) => !own.includes(one));
    const needed = neededColumns(required, late);
    const below = neededColumns(needed, on);
    const leaf: Leaf = { tree: inner, ...innerSpan, needs: lateralNeeds(inner, innerSpan) };
    for (const column of leaf.needs) below[column] = true;
    const outerLeaf: Leaf = { tree: outer, ...outerSpan, needs: lateralNeeds(outer, outerSpan) };
    const decision = this.search.decide(
      {
        leaves: [outerLeaf, leaf],
        conditions,
        conditionsOf: (one) => (one === leaf ? own : early),
        needed: below,
        type,
      },
      type === 'left' ? ordering : undefined,
    );
    const first = this.region(outer, early, below, decision?.first && inOrder(decision.first));
    if (!leaf.needs.every((column) => (first.layout[column] ?? -1) >= 0))
      throw new SqlError('0A000', 'LATERAL reference across an outer join is not supported yet');
    const joined = this.join(first, leaf, {
      type,
      own,
      conditions,
      needed,
      step: decision?.steps.get(leaf),
    });
    return this.items.filtered(joined, late);
  }

  /** One more leaf. */
  private join(left: Part, leaf: Leaf, request: JoinRequest): Part {
    const { own, conditions, needed, step } = request;
    const { tree } = leaf;
    if (tree.kind === 'item' && tree.arguments.length > 0)
      return this.joins.lateral(left, tree, request);
    this.planner.noted(left);
    const merges = step?.method === 'merge' || step?.method === 'sort-merge';
    const lookup = merges ? undefined : this.joins.lookup(left, leaf, request);
    if (lookup !== undefined) return lookup;
    const below = neededColumns(needed, conditions);
    const wanted = this.merges.orderOfRight(left, leaf, request);
    const right = this.planner.noted(this.region(tree, own, below, wanted));
    this.planner.noted(left);
    return this.merges.merge(left, right, request) ?? this.joins.join(left, right, request);
  }
}

/** That order and no other. */
function inOrder(asked: AskedOrder): Ordering {
  return { ...asked, limit: undefined, found: false, must: true };
}
