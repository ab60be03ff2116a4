/** Who holds what: replicas and leases of every store, asked of the stores themselves, and waiting until it is as wanted. */
import type { Router } from '@flotilla/router';
import { viewCluster } from '../../harness/cluster-view.ts';
import { eventually } from '../../harness/eventually.ts';
import type { Campaign } from '../campaign.ts';

export interface ClusterShape {
  readonly ranges: number;
  /** Per store, in the order asked for. */
  readonly replicas: readonly number[];
  readonly leases: readonly number[];
  /** Ranges that have not exactly this many replicas on these stores, or not one leaseholder. */
  readonly unwell: number;
}

export async function shapeOf(
  router: Router,
  stores: readonly number[],
  replicasEach = 3,
): Promise<ClusterShape> {
  const view = (await viewCluster(router, 3000)).filter(({ storeId }) => stores.includes(storeId));
  const ranges = new Map<number, { replicas: number; leases: number }>();
  for (const { rangeId, isLeaseholder } of view) {
    const range = ranges.get(rangeId) ?? { replicas: 0, leases: 0 };
    range.replicas++;
    if (isLeaseholder) range.leases++;
    ranges.set(rangeId, range);
  }
  const count = (of: typeof view): number[] =>
    stores.map((id) => of.filter(({ storeId }) => storeId === id).length);
  return {
    ranges: ranges.size,
    replicas: count(view),
    leases: count(view.filter((each) => each.isLeaseholder)),
    unwell: [...ranges.values()].filter((r) => r.replicas !== replicasEach || r.leases !== 1)
      .length,
  };
}

/** No store further from the mean than a tenth of it, or than one where there is little to deal out. */
export function isEven(counts: readonly number[]): boolean {
  const mean = counts.reduce((sum, n) => sum + n, 0) / counts.length;
  return counts.every((n) => Math.abs(n - mean) <= Math.max(1, mean / 10));
}

export function shapeText({ ranges, replicas, leases, unwell }: ClusterShape): string {
  const rest = unwell === 0 ? '' : `, ${unwell} not whole`;
  return `${ranges} ranges, replicas ${replicas.join('/')}, leases ${leases.join('/')}${rest}`;
}

/**
 * Waits until every range is whole on these stores and replicas (and leases, where asked for) are even, and notes the promise.
 * @returns how long it took; undefined = not in time
 */
export async function awaitEven(
  campaign: Campaign,
  router: Router,
  wanted: {
    readonly promise: string;
    readonly stores: readonly number[];
    readonly withinMs: number;
    readonly leases?: boolean;
  },
): Promise<number | undefined> {
  const { promise, stores, withinMs, leases = true } = wanted;
  let seen = '';
  try {
    const { tookMs } = await eventually(
      promise,
      { timeoutMs: withinMs, everyMs: 500 },
      async () => {
        const shape = await shapeOf(router, stores);
        if (shapeText(shape) !== seen) campaign.say(shapeText(shape));
        seen = shapeText(shape);
        const even = isEven(shape.replicas) && (!leases || isEven(shape.leases));
        return shape.unwell === 0 && even ? true : undefined;
      },
    );
    campaign.promise(promise, true, `after ${(tookMs / 1000).toFixed(1)} s: ${seen}`);
    return tookMs;
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('not within'))) throw error;
    campaign.promise(promise, false, `not within ${withinMs / 1000} s: ${seen}`);
    return undefined;
  }
}
