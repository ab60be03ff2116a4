/**
 * The order of joins: all left-deep orders of a few relations by dynamic programming over their subsets. Of each subset two ways
 * are kept: the cheapest one, and the cheapest one whose rows come in an order that is of use. Knows costs only; what they are
 * made of is the asker's business.
 */

export interface Estimated {
  readonly rows: number;
  readonly cost: number;
}

/** Some relations, joined. */
export interface Joined extends Estimated {
  /** Of the cost, what is spent before the first row. */
  readonly startup: number;
  /** Rows come in the order that is asked for. */
  readonly ordered: boolean;
}

/** One relation more. @param Method how it is joined */
export interface JoinStep<Method> extends Joined {
  readonly relation: number;
  readonly method: Method;
}

export interface JoinProblem<Method> {
  readonly count: number;
  /** Reading a relation by itself; none: it needs others first. */
  start(relation: number): readonly JoinStep<Method>[];
  /** Ways for a relation to join what is there; costs are of all together. @param done a bit for each relation that is there */
  step(done: number, there: Joined, relation: number): readonly JoinStep<Method>[];
  /** What a way costs, as far as its rows are read. */
  price(joined: Joined): number;
}

export interface FoundOrder<Method> extends Joined {
  readonly steps: readonly JoinStep<Method>[];
}

/**
 * Cost O(2^n · n).
 * @returns the cheapest way, and the cheapest one in order; undefined where none will do
 */
export function bestOrders<Method>(
  problem: JoinProblem<Method>,
): readonly [any: FoundOrder<Method> | undefined, ordered: FoundOrder<Method> | undefined] {
  const { count } = problem;
  const all = 2 ** count - 1;
  const best: (FoundOrder<Method> | undefined)[][] = Array.from({ length: all + 1 }, () => []);
  const offer = (into: number, before: readonly JoinStep<Method>[], step: JoinStep<Method>) => {
    const places = best[into];
    if (places === undefined) return;
    const place = step.ordered ? 1 : 0;
    const known = places[place];
    if (known !== undefined && problem.price(known) <= problem.price(step)) return;
    const { rows, cost, startup, ordered } = step;
    places[place] = { rows, cost, startup, ordered, steps: [...before, step] };
  };
  for (let i = 0; i < count; i++) for (const step of problem.start(i)) offer(1 << i, [], step);
  for (let done = 1; done < all; done++)
    for (const found of best[done] ?? []) {
      if (found === undefined) continue;
      for (let i = 0; i < count; i++) {
        if ((done & (1 << i)) !== 0) continue;
        for (const step of problem.step(done, found, i)) offer(done | (1 << i), found.steps, step);
      }
    }
  return [best[all]?.[0], best[all]?.[1]];
}
