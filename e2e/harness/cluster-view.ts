/** What the stores say of themselves: who leads which range, how far each replica is. Read through the router's API. */
import type { StoreId } from '@flotilla/base';
import { tablePrefix, toStoreId } from '@flotilla/base';
import type { Router, StoreStatus } from '@flotilla/router';

export interface ReplicaView {
  readonly storeId: StoreId;
  readonly rangeId: number;
  readonly generation: number;
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  readonly isLeaseholder: boolean;
  readonly term: number;
  readonly appliedIndex: number;
  readonly commitIndex: number;
}

/** Every replica that a store which answers within `timeoutMs` holds. Of a store that is silent there is nothing. */
export async function viewCluster(router: Router, timeoutMs = 1000): Promise<ReplicaView[]> {
  const stores = await router.discover({ timeoutMs: 300 });
  const ids = stores.filter(({ storeId }) => storeId > 0).map(({ storeId }) => toStoreId(storeId));
  const views = await viewStores(router, ids, timeoutMs);
  return views.flatMap((view) => view ?? []);
}

/** What each of these stores holds, in their order; undefined for one that does not answer within `timeoutMs`. */
export async function viewStores(
  router: Router,
  stores: readonly StoreId[],
  timeoutMs: number,
): Promise<(ReplicaView[] | undefined)[]> {
  const answers = await Promise.allSettled(
    stores.map((storeId) => router.status(storeId, { timeoutMs })),
  );
  return answers.map((answer) =>
    answer.status === 'fulfilled' ? replicas(answer.value) : undefined,
  );
}

function replicas(status: StoreStatus): ReplicaView[] {
  return (status.replicas ?? []).map((replica) => ({
    storeId: toStoreId(status.storeId ?? 0),
    rangeId: replica.info?.descriptor?.rangeId ?? 0,
    generation: replica.info?.descriptor?.generation ?? 0,
    startKey: replica.info?.descriptor?.startKey ?? new Uint8Array(0),
    endKey: replica.info?.descriptor?.endKey ?? new Uint8Array(0),
    isLeaseholder: replica.role === 'leader' && replica.leaseValid === true,
    term: replica.term ?? 0,
    appliedIndex: replica.appliedIndex ?? 0,
    commitIndex: replica.commitIndex ?? 0,
  }));
}

/** The leaseholder's replica of the range that holds `key`; the newest term wins where two claim it. */
export function leaseholderOf(
  view: readonly ReplicaView[],
  key: Uint8Array,
): ReplicaView | undefined {
  return view
    .filter(
      (replica) =>
        replica.isLeaseholder &&
        Buffer.compare(replica.startKey, key) <= 0 &&
        Buffer.compare(key, replica.endKey) < 0,
    )
    .sort((a, b) => b.term - a.term)[0];
}

/** True when `replicasEach` replicas of every range have applied the same index. */
export function hasConverged(view: readonly ReplicaView[], replicasEach: number): boolean {
  const ranges = new Map<number, ReplicaView[]>();
  for (const replica of view)
    ranges.set(replica.rangeId, [...(ranges.get(replica.rangeId) ?? []), replica]);
  return (
    ranges.size > 0 &&
    [...ranges.values()].every(
      (members) =>
        members.length === replicasEach &&
        members.some((member) => member.isLeaseholder) &&
        new Set(members.map((member) => member.appliedIndex)).size === 1,
    )
  );
}

/** The range of the SQL tables in which most was applied between two views. */
export function busiestTableRange(
  before: readonly ReplicaView[],
  after: readonly ReplicaView[],
): ReplicaView {
  const applied = (view: readonly ReplicaView[], rangeId: number): number =>
    Math.max(0, ...view.filter((r) => r.rangeId === rangeId).map((r) => r.appliedIndex));
  const [busiest] = after
    .filter(({ startKey }) => startKey[0] === tablePrefix[0])
    .map((replica) => ({
      replica,
      growth: applied(after, replica.rangeId) - applied(before, replica.rangeId),
    }))
    .sort((a, b) => b.growth - a.growth);
  if (busiest === undefined || busiest.growth <= 0)
    throw new Error('nothing was written to any range of the tables');
  return busiest.replica;
}
