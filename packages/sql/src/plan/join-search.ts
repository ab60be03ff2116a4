/** Which item of FROM is joined when: by estimates alone, before anything is planned. */
import { conjunction } from '../bind/conjuncts.ts';
import type { Expression } from '../bind/expression.ts';
import type { TableSource } from '../bind/relation.ts';
import { joinOrderMax } from '../limits.ts';
import { SqlError } from '../sql-error.ts';
import { type ChosenPath, choosePath, knownTable, type PlanSources } from './choose-path.ts';
import { distinctOf, selectivityOf, unknownTableRows } from './estimate.ts';
import {
  columnsOf,
  holds,
  isCovered,
  type Leaf,
  localConditions,
  shifted,
  touches,
} from './from-tree.ts';
import { bestOrder, type Estimated } from './join-order.ts';
import { lookupCost, lookupKey } from './lookup-key.ts';

/** A row that goes into a hash table, or is looked up there. In rows of a scan. */
export const hashCost = 0.5;

export type ConditionsOf = (leaf: Leaf) => readonly Expression[];

export class JoinSearch {
  private readonly sources: PlanSources;

  constructor(sources: PlanSources) {
    this.sources = sources;
  }

  /** The leaf that is joined next: connected ones first, small ones first, else as they were written. */
  choose(
    left: ReadonlySet<Leaf>,
    done: readonly Leaf[],
    pending: ReadonlySet<Expression>,
    conditionsOf: ConditionsOf,
    current: { readonly rows: number } | undefined,
  ): Leaf {
    let best: Leaf | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const leaf of left) {
      if (!leaf.needs.every((column) => done.some((one) => holds(one, column)))) continue;
      const rows = this.estimate(leaf, conditionsOf(leaf));
      const both = [...done, leaf];
      const connected = [...pending].filter((one) => isCovered(one, both));
      const equal = connected.some((one) => one.kind === 'comparison' && one.operator === '=');
      let cost = rows;
      if (current !== undefined && leaf.needs.length === 0) {
        if (!equal) cost = rows * current.rows + (connected.length === 0 ? 1e12 : 1e9);
        else if (lookupKey(leaf, connected, connected, [], this.sources) !== undefined)
          cost = Math.min(rows, current.rows);
      }
      if (cost < least) {
        least = cost;
        best = leaf;
      }
    }
    if (best !== undefined) return best;
    throw new SqlError('0A000', 'LATERAL reference across an outer join is not supported yet');
  }

  /** Undefined: there are too many to try all orders, or none will do. */
  order(
    leaves: readonly Leaf[],
    pending: readonly Expression[],
    conditionsOf: ConditionsOf,
  ): readonly Leaf[] | undefined {
    if (leaves.length > joinOrderMax) return undefined;
    const bitOf = (columns: readonly number[]) =>
      leaves.reduce(
        (bits, leaf, i) => (columns.some((column) => holds(leaf, column)) ? bits | (1 << i) : bits),
        0,
      );
    const conditions = pending.map((one) => ({ one, bits: bitOf(columnsOf(one)) }));
    const needs = leaves.map((leaf) => bitOf(leaf.needs));
    const costs = leaves.map((leaf) => this.leafCost(leaf, conditionsOf(leaf)));
    const order = bestOrder({
      count: leaves.length,
      start: (i) => (needs[i] === 0 ? costs[i] : undefined),
      step: (done, rows, i) => {
        const [leaf, own] = [leaves[i], costs[i]];
        if (leaf === undefined || own === undefined) return undefined;
        if (((needs[i] ?? 0) & ~done) !== 0) return undefined;
        const both = done | (1 << i);
        const connecting = conditions.flatMap(({ one, bits }) =>
          (bits & (1 << i)) !== 0 && (bits & ~both) === 0 ? [one] : [],
        );
        const all = this.joinRows(leaves, rows * own.rows, connecting);
        if (leaf.needs.length > 0) return { rows: all, cost: rows * own.cost };
        const isEqual = connecting.some((one) => one.kind === 'comparison' && one.operator === '=');
        let cost = isEqual
          ? own.cost + (rows + own.rows) * hashCost
          : own.cost + rows * own.rows * (connecting.length === 0 ? 2 : 1);
        const asked = conditionsOf(leaf);
        const key = lookupKey(
          leaf,
          [...connecting, ...asked],
          connecting,
          localConditions(leaf, asked),
          this.sources,
        );
        if (key !== undefined) cost = Math.min(cost, lookupCost(key, rows));
        return { rows: all, cost };
      },
    });
    return order?.flatMap((i) => leaves[i] ?? []);
  }

  /** Rows that are left of all combinations. */
  private joinRows(
    leaves: readonly Leaf[],
    combinations: number,
    conditions: readonly Expression[],
  ): number {
    const share = conditions.reduce((all, one) => all * this.joinSelectivity(leaves, one), 1);
    return Math.max(1, combinations * share);
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

  private estimate(leaf: Leaf, conditions: readonly Expression[]): number {
    return this.leafCost(leaf, conditions).rows;
  }

  /** A leaf read by itself. */
  private leafCost(leaf: Leaf, conditions: readonly Expression[]): Estimated {
    const { tree } = leaf;
    if (tree.kind === 'join') return { rows: unknownTableRows, cost: unknownTableRows };
    const { source } = tree;
    if (source.kind === 'table') return this.tablePath(source, localConditions(leaf, conditions));
    const selectivity = conditions.reduce((all, one) => all * selectivityOf(one), 1);
    const all = source.kind === 'values' ? source.rows.length : 1_000;
    return { rows: Math.max(1, all * selectivity), cost: all };
  }

  tablePath({ table }: TableSource, conditions: readonly Expression[]): ChosenPath {
    const { sources } = this;
    const where = conjunction(conditions);
    return choosePath({ table, where, needed: undefined, order: undefined, sources });
  }
}
