/**
 * One picture of the cluster, put together from what every store says of its own replicas. Stores that are known but do
 * not answer stay in the picture, marked; so do ranges that nobody leads.
 */
import { emptyBytes, keyMax, spanText, toHex, toStoreId } from '@flotilla/base';
import type { Router, StoreStatus } from '@flotilla/router';

export type ReplicaStatus = NonNullable<StoreStatus['replicas']>[number];

export interface StoreRow {
  readonly storeId: number;
  readonly answers: boolean;
  readonly machine: string;
  readonly version: string;
  readonly uptimeMs: number;
  readonly pid: number;
  readonly replicas: number;
  /** Ranges that this store leads. */
  readonly leases: number;
  readonly walBytes: number;
}

export interface ReplicaRow {
  readonly replicaId: number;
  readonly storeId: number;
  /** `unknown` where the store does not answer. */
  readonly role: string;
  readonly appliedIndex: number;
  readonly commitIndex: number;
}

export interface RangeRow {
  readonly rangeId: number;
  readonly span: string;
  readonly startKey: string;
  readonly endKey: string;
  readonly generation: number;
  readonly term: number;
  /** Undefined: nobody who answers leads it. */
  readonly leaseholderStoreId: number | undefined;
  readonly lease: 'valid' | 'expired' | 'none';
  readonly leaseRemainingMs: number;
  readonly replicas: readonly ReplicaRow[];
}

export interface ClusterStatus {
  /** Hex; empty = not founded. */
  readonly clusterId: string;
  readonly stores: readonly StoreRow[];
  readonly ranges: readonly RangeRow[];
}

/** Asks every store. Stores that stay silent for `timeoutMs` are marked, never waited for longer. */
export async function gatherStatus(router: Router, timeoutMs: number): Promise<ClusterStatus> {
  const discovered = await router.discover({ timeoutMs });
  const ids = new Set<number>();
  for (const store of discovered) {
    if (store.storeId > 0) ids.add(store.storeId);
    for (const known of store.knownStoreIds) ids.add(known);
  }
  const statuses = new Map<number, StoreStatus>();
  await Promise.all(
    discovered
      .filter((store) => store.storeId > 0)
      .map(async ({ storeId }) => {
        try {
          statuses.set(storeId, await router.status(toStoreId(storeId), { timeoutMs }));
        } catch {
          // It answered a moment ago and does not now: shown as silent.
        }
      }),
  );
  const founded = discovered.find((store) => store.clusterId.length > 0);
  return {
    clusterId: founded === undefined ? '' : toHex(founded.clusterId),
    stores: [...ids].sort((a, b) => a - b).map((id) => storeRow(id, statuses.get(id))),
    ranges: rangeRows(statuses),
  };
}

function storeRow(storeId: number, status: StoreStatus | undefined): StoreRow {
  const replicas = status?.replicas ?? [];
  return {
    storeId,
    answers: status !== undefined,
    machine: status?.machine ?? '',
    version: status?.version ?? '',
    uptimeMs: status?.uptimeMs ?? 0,
    pid: status?.pid ?? 0,
    replicas: replicas.length,
    leases: replicas.filter((replica) => replica.role === 'leader').length,
    walBytes: status?.walBytes ?? 0,
  };
}

/** Joins the replicas of each range; the newest descriptor and the newest term win. Exported for tests. */
export function rangeRows(statuses: ReadonlyMap<number, StoreStatus>): RangeRow[] {
  const byRange = new Map<number, Map<number, ReplicaStatus>>();
  for (const [storeId, status] of statuses) {
    for (const replica of status.replicas ?? []) {
      const rangeId = replica.info?.descriptor?.rangeId ?? 0;
      const replicas = byRange.get(rangeId) ?? new Map<number, ReplicaStatus>();
      byRange.set(rangeId, replicas.set(storeId, replica));
    }
  }
  return [...byRange].sort(([a], [b]) => a - b).map(([id, replicas]) => rangeRow(id, replicas));
}

function rangeRow(rangeId: number, replicas: ReadonlyMap<number, ReplicaStatus>): RangeRow {
  const all = [...replicas.values()];
  const newest = all.reduce((best, next) => (generation(next) > generation(best) ? next : best));
  const descriptor = newest.info?.descriptor;
  const term = Math.max(...all.map((replica) => replica.term ?? 0));
  // An old leader that does not know of its successor yet is not the leader.
  const leader = [...replicas].find(([, r]) => r.role === 'leader' && (r.term ?? 0) === term);
  const startKey = descriptor?.startKey ?? emptyBytes;
  const endKey = descriptor?.endKey ?? keyMax;
  return {
    rangeId,
    span: spanText({ startKey, endKey }),
    startKey: toHex(startKey),
    endKey: toHex(endKey),
    generation: generation(newest),
    term,
    leaseholderStoreId: leader?.[0],
    lease: leader === undefined ? 'none' : leader[1].leaseValid === true ? 'valid' : 'expired',
    leaseRemainingMs: leader?.[1].leaseRemainingMs ?? 0,
    replicas: (descriptor?.replicas ?? [])
      .map((member) => {
        const storeId = member.storeId ?? 0;
        const status = replicas.get(storeId);
        return {
          replicaId: member.replicaId ?? 0,
          storeId,
          role: status?.role ?? 'unknown',
          appliedIndex: status?.appliedIndex ?? 0,
          commitIndex: status?.commitIndex ?? 0,
        };
      })
      .sort((a, b) => a.storeId - b.storeId),
  };
}

function generation(replica: ReplicaStatus): number {
  return replica.info?.descriptor?.generation ?? 0;
}
