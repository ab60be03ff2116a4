/**
 * The order of joins: all left-deep orders of a few relations by dynamic programming over their subsets. Knows costs only;
 * what they are made of is the asker's business.
 */

export interface Estimated {
  readonly rows: number;
  readonly cost: number;
}

export interface JoinProblem {
  readonly count: number;
  /** Reading a relation by itself; undefined: it needs others first. */
  start(relation: number): Estimated | undefined;
  /**
   * What comes out when a relation joins what is there, and what that alone costs; undefined: it needs others first.
   * @param done a bit for each relation that is there
   */
  step(done: number, rows: number, relation: number): Estimated | undefined;
}

interface Found extends Estimated {
  readonly order: readonly number[];
}

/** Cost O(2^n · n). @returns undefined where no order will do */
export function bestOrder(problem: JoinProblem): readonly number[] | undefined {
  const { count } = problem;
  const all = 2 ** count - 1;
  const best = new Array<Found | undefined>(all + 1);
  for (let i = 0; i < count; i++) {
    const first = problem.start(i);
    if (first !== undefined) best[1 << i] = { ...first, order: [i] };
  }
  for (let done = 1; done < all; done++) {
    const found = best[done];
    if (found === undefined) continue;
    for (let i = 0; i < count; i++) {
      if ((done & (1 << i)) !== 0) continue;
      const next = problem.step(done, found.rows, i);
      if (next === undefined) continue;
      const cost = found.cost + next.cost;
      const into = done | (1 << i);
      const before = best[into];
      if (before === undefined || cost < before.cost)
        best[into] = { rows: next.rows, cost, order: [...found.order, i] };
    }
  }
  return best[all]?.order;
}
