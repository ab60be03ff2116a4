/** Waits until replicas and leases are where they should be, as the stores themselves say. */
import type { Router } from '@flotilla/router';
import { isEven, isWhole, shapeOf, shapeText } from '../../harness/cluster-shape.ts';
import { eventually } from '../../harness/eventually.ts';
import type { Campaign } from '../campaign.ts';

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
        return isWhole(shape) && even ? true : undefined;
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
