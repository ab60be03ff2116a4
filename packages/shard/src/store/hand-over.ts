/** A store that stops asks the best follower of each range it leads to take over, and waits until they have. */
import type { Clock } from '@flotilla/base';
import type { MultiRaft, RaftStatus } from '@flotilla/raft';
import type { Replica } from '../replica/replica.ts';

export interface HandOverOptions {
  readonly clock: Clock;
  readonly raft: MultiRaft;
  readonly replicas: ReadonlyMap<number, Replica>;
  /** Monotonic ms; given up then. */
  readonly deadlineMs: number;
  readonly failed: () => boolean;
}

/** Unit: ms. */
const pollMs = 10;
const heardWithinMs = 1000;

export async function handOver(options: HandOverOptions): Promise<void> {
  const { clock, raft, replicas, deadlineMs, failed } = options;
  const asked = new Set<number>();
  while (!failed()) {
    let left = 0;
    for (const replica of replicas.values()) {
      if (replica.role !== 'leader') continue;
      const target = bestFollower(raft.status(replica.rangeId), clock.nowMs());
      if (target === undefined) continue;
      left++;
      if (asked.has(replica.rangeId)) continue;
      if (raft.transferLeadership(replica.rangeId, target.replicaId).ok) asked.add(replica.rangeId);
    }
    if (left === 0 || clock.nowMs() >= deadlineMs) return;
    await new Promise<void>((resolve) => void clock.setTimer(pollMs, resolve));
  }
}

/** The voter that was heard of lately and has the most of the log. */
function bestFollower(
  status: RaftStatus | undefined,
  now: number,
): RaftStatus['progress'][number] | undefined {
  return status?.progress
    .filter(
      (each) =>
        each.replicaId !== status.self &&
        status.configuration?.voters.includes(each.replicaId) === true &&
        now - each.lastHeardMs < heardWithinMs,
    )
    .sort((a, b) => b.matchIndex - a.matchIndex)[0];
}
