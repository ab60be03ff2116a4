/** Which item of FROM is joined when: by estimates alone, before anything is planned. */
import type { Expression } from '../bind/expression.ts';
import { joinOrderMax } from '../limits.ts';
import { SqlError } from '../sql-error.ts';
import { sortCost } from './choose-path.ts';
import { holds, isCovered, type Leaf } from './from-tree.ts';
import { bestOrders, type FoundOrder } from './join-order.ts';
import { type JoinMethod, type JoinRegion, RegionProblem, type Wish } from './join-region.ts';
import type { LeafEstimates } from './leaf-estimates.ts';
import { lookupKey } from './lookup-key.ts';
import type { AskedOrder } from './plan-table.ts';

export type ConditionsOf = (leaf: Leaf) => readonly Expression[];

/** The order of the result. */
export interface FinalOrder extends AskedOrder {
  /** Rows that are enough; undefined: all. */
  readonly limit: number | undefined;
}

export interface DecidedStep {
  readonly method: JoinMethod;
  /** What comes out. */
  readonly rows: number;
}

export interface JoinDecision {
  readonly leaves: readonly Leaf[];
  readonly steps: ReadonlyMap<Leaf, DecidedStep>;
  /** The order in which the first leaf is read. */
  readonly first: AskedOrder | undefined;
}

export class JoinSearch {
  private readonly leaves: LeafEstimates;

  constructor(leaves: LeafEstimates) {
    this.leaves = leaves;
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
      const rows = this.leaves.leafCost(leaf, conditionsOf(leaf)).rows;
      const both = [...done, leaf];
      const connected = [...pending].filter((one) => isCovered(one, both));
      const equal = connected.some((one) => one.kind === 'comparison' && one.operator === '=');
      let cost = rows;
      if (current !== undefined && leaf.needs.length === 0) {
        if (!equal) cost = rows * current.rows + (connected.length === 0 ? 1e12 : 1e9);
        else if (lookupKey(leaf, connected, connected, [], this.leaves.sources) !== undefined)
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
  decide(region: JoinRegion, ordering: FinalOrder | undefined): JoinDecision | undefined {
    if (region.leaves.length > joinOrderMax) return undefined;
    const problem = new RegionProblem(this.leaves, region);
    const [plain] = bestOrders(problem.under(undefined, 1));
    if (plain === undefined) return undefined;
    const { rows } = problem;
    const sorting = ordering === undefined ? 0 : sortCost(rows, ordering.limit);
    let best: FoundOrder<JoinMethod> = plain;
    let least = plain.cost + sorting;
    let wish: Wish | undefined;
    const wishes: Wish[] = ordering === undefined ? [] : [{ ...ordering, isFinal: true }];
    for (const one of [...wishes, ...problem.candidates()]) {
      const limit = one.isFinal ? ordering?.limit : undefined;
      const asked = problem.under(one, Math.min(1, (limit ?? rows) / rows));
      for (const found of bestOrders(asked)) {
        if (found === undefined) continue;
        const cost = one.isFinal && found.ordered ? asked.price(found) : found.cost + sorting;
        if (cost >= least) continue;
        [best, least, wish] = [found, cost, one];
      }
    }
    const leaves = best.steps.flatMap(({ relation }) => region.leaves[relation] ?? []);
    const steps = new Map(best.steps.map((step, i) => [leaves[i] as Leaf, step]));
    const [leaf] = leaves;
    const isOrdered = best.steps[0]?.method === 'ordered';
    const first = isOrdered && leaf && wish ? problem.orderOf(leaf, wish) : undefined;
    return { leaves, steps, first };
  }
}
