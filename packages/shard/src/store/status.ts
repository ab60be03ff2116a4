/** A store's own account of itself and its replicas, for operators and tests. */
import type { StoreId } from '@flotilla/base';
import type { MultiRaft } from '@flotilla/raft';
import type { flotilla } from '../../gen/kv.js';
import type { Replica } from '../replica/replica.ts';

export interface StatusFacts {
  readonly storeId: StoreId;
  readonly machine: string;
  readonly version: string;
  readonly uptimeMs: number;
  readonly pid: number;
  readonly walBytes: number;
  /** Since 1970. */
  readonly wallMs: number;
  readonly replicas: ReadonlyMap<number, Replica>;
  /** Undefined before founding. */
  readonly raft: MultiRaft | undefined;
  /** What a range is asked. Unit: requests/s. */
  readonly rateOf: (rangeId: number) => number;
}

/** @param rangeId the replica of this range alone; 0: all */
export function statusOf(
  facts: StatusFacts,
  rangeId: number,
): flotilla.kv.StatusResponse.$Properties {
  const { raft, replicas, rateOf, ...rest } = facts;
  const one = replicas.get(rangeId);
  const wanted = rangeId === 0 ? [...replicas.values()] : one === undefined ? [] : [one];
  return {
    ...rest,
    uptimeMs: Math.floor(facts.uptimeMs),
    wallMs: Math.floor(facts.wallMs),
    replicas: wanted.map((replica) => replicaStatus(replica, raft, rateOf)),
  };
}

function replicaStatus(
  replica: Replica,
  raft: MultiRaft | undefined,
  rateOf: StatusFacts['rateOf'],
): flotilla.kv.ReplicaStatus.$Properties {
  const status = raft?.status(replica.rangeId);
  return {
    info: replica.info(),
    replicaId: replica.replicaId,
    role: status?.role ?? replica.role,
    term: status?.term ?? replica.term,
    leaderReplicaId: status?.leader ?? 0,
    commitIndex: status?.commitIndex ?? 0,
    appliedIndex: replica.appliedIndex,
    firstIndex: status?.firstIndex ?? 0,
    lastIndex: status?.lastIndex ?? 0,
    leaseValid: status?.leaseValid ?? false,
    leaseRemainingMs: Math.floor(status?.leaseRemainingMs ?? 0),
    requestsPerSecond: replica.leaseholder === undefined ? 0 : Math.round(rateOf(replica.rangeId)),
    liveBytes: Math.max(0, Math.round(replica.liveBytes)),
  };
}
