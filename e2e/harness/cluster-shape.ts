/** Who holds what: replicas and leases of every store, asked of the stores themselves. */
import { toStoreId } from '@flotilla/base';
import type { Router } from '@flotilla/router';
import { type ReplicaView, viewStores } from './cluster-view.ts';

export interface ClusterShape {
  /** Those asked for that do not answer: what the rest of the shape says is not the whole. */
  readonly silent: readonly number[];
  readonly ranges: number;
  /** Per store, in the order asked for. */
  readonly replicas: readonly number[];
  readonly leases: readonly number[];
  /** Ranges that have not exactly this many replicas on these stores, or not one leaseholder. */
  readonly unwell: number;
  /** Every key is in one range, by what the leaseholders on these stores say. */
  readonly isTiled: boolean;
}

export async function shapeOf(
  router: Router,
  stores: readonly number[],
  replicasEach = 3,
): Promise<ClusterShape> {
  const views = await viewStores(router, stores.map(toStoreId), 3000);
  const view = views.flatMap((each) => each ?? []);
  const ranges = new Map<number, { replicas: number; leases: number }>();
  for (const { rangeId, isLeaseholder } of view) {
    const range = ranges.get(rangeId) ?? { replicas: 0, leases: 0 };
    range.replicas++;
    if (isLeaseholder) range.leases++;
    ranges.set(rangeId, range);
  }
  const leaseholders = view.filter((each) => each.isLeaseholder);
  return {
    silent: stores.filter((_, at) => views[at] === undefined),
    ranges: ranges.size,
    replicas: views.map((each) => each?.length ?? 0),
    leases: views.map((each) => each?.filter(({ isLeaseholder }) => isLeaseholder).length ?? 0),
    unwell: [...ranges.values()].filter((r) => r.replicas !== replicasEach || r.leases !== 1)
      .length,
    isTiled: tilesKeySpace(leaseholders),
  };
}

function tilesKeySpace(leaseholders: readonly ReplicaView[]): boolean {
  const sorted = leaseholders.toSorted((a, b) => Buffer.compare(a.startKey, b.startKey));
  return (
    sorted[0]?.startKey.length === 0 &&
    sorted.every(({ endKey }, at) => {
      const next = sorted[at + 1];
      return next === undefined || Buffer.compare(endKey, next.startKey) === 0;
    })
  );
}

/** All stores that were asked answer, and every range of the key space is well on them. */
export function isWhole({ silent, isTiled, unwell }: ClusterShape): boolean {
  return silent.length === 0 && isTiled && unwell === 0;
}

/** No store further from the mean than a tenth of it, or than one where there is little to deal out. */
export function isEven(counts: readonly number[]): boolean {
  const mean = counts.reduce((sum, n) => sum + n, 0) / counts.length;
  return counts.every((n) => Math.abs(n - mean) <= Math.max(1, mean / 10));
}

export function shapeText(shape: ClusterShape): string {
  const { silent, ranges, replicas, leases, unwell, isTiled } = shape;
  const parts = [
    `${ranges} ranges, replicas ${replicas.join('/')}, leases ${leases.join('/')}`,
    unwell === 0 ? [] : `${unwell} not whole`,
    isTiled ? [] : 'a key in none, or in two',
    silent.length === 0 ? [] : `no answer of ${silent.join(', ')}`,
  ];
  return parts.flat().join(', ');
}
