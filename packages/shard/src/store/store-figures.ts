/**
 * What a store shows of itself at this moment, and what it has counted: for metrics and its own row. Costs a look at every
 * replica. Read from outside of the hot paths alone; these only count.
 */
import { Buckets, timestampSpan } from '@flotilla/base';
import { voterStores } from '../placement/picture.ts';
import { leasesOf } from '../placement/placement.ts';
import type { StoreFigures } from '../placement/settings.ts';
import { RefusalReason } from '../replica/answers.ts';
import type { StoreContext } from './context.ts';
import type { Member } from './member.ts';
import type { RequestServer } from './request-server.ts';

/** @param replicasWanted of a range that nothing is said of */
export function figuresOf(
  { replicas, admission, wal }: StoreContext,
  server: RequestServer,
  member: Member | undefined,
  wanted: (startKey: Uint8Array) => number,
): StoreFigures {
  const { closed, followerReads } = member ?? {};
  const lag = closed?.lag();
  let [rangesUnderReplicated, replicasWithoutLeader] = [0, 0];
  for (const { descriptor, leaseholder, leaderId } of replicas.values()) {
    if (leaderId === undefined) replicasWithoutLeader++;
    if (leaseholder !== undefined && voterStores(descriptor).length < wanted(descriptor.startKey))
      rangesUnderReplicated++;
  }
  const transfers = member?.membership.transfers;
  const raft = member?.raft.health();
  return {
    closedLagMs: (lag?.spanMax ?? 0) / timestampSpan(1),
    replicasNothingClosed: lag?.unknown ?? 0,
    followerReads: followerReads?.served ?? 0,
    followerReadsRefused: followerReads?.refused ?? 0,
    replicas: replicas.size,
    leases: leasesOf(replicas.values()),
    requests: admission.answered,
    requestsInFlight: admission.inFlight,
    walBytes: wal.sizeBytes(),
    rangesUnderReplicated,
    replicasWithoutLeader,
    leasesTaken: member?.leasesTaken ?? 0,
    splits: member?.splitsDone ?? 0,
    snapshotsSending: transfers?.sending ?? 0,
    snapshotsReceiving: transfers?.receiving ?? 0,
    snapshotsSent: transfers?.sent ?? 0,
    snapshotsReceived: transfers?.received ?? 0,
    loopDelayP99Ms: raft?.loopDelayP99Ms ?? 0,
    loopStalls: raft?.loopStalls ?? 0,
    droppedMessages: raft?.droppedMessages ?? 0,
    bytesToWrite: raft?.bytesToWrite ?? 0,
    bytesToApply: raft?.bytesToApply ?? 0,
    logWriteTimes: raft?.logWriteTimes ?? new Buckets(),
    applyTimes: raft?.applyTimes ?? new Buckets(),
    requestTimes: admission.sampledTimes,
    requestsByKind: { ...server.requestsByKind },
    refusals: refusalsByName(admission.refusals),
  };
}

/** By the names of the stores' protocol, in small letters. */
function refusalsByName(counts: readonly number[]): Record<string, number> {
  const named: Record<string, number> = {};
  for (const [name, reason] of Object.entries(RefusalReason))
    if (typeof reason === 'number') named[name.toLowerCase()] = counts[reason] ?? 0;
  return named;
}
