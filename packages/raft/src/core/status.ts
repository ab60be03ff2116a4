/** What people and the driver may see of a replica. Reads only. */
import { type LogIndex, toLogIndex } from '@flotilla/base';
import { leaseRemainingMs } from './lease.ts';
import { isChangePending } from './membership.ts';
import type { RaftStatus } from './raft-core.ts';
import { isInitialized, leaderOf, type RaftState } from './state.ts';

/** Durable on every member and applied here: nobody will ask for it again. */
export function compactableIndex(state: RaftState): LogIndex {
  return toLogIndex(Math.min(state.replicatedIndex, state.lastApplied));
}

export function statusOf(state: RaftState, now: number): RaftStatus {
  const { role, log } = state;
  const remainingMs = leaseRemainingMs(state, now);
  return {
    rangeId: state.rangeId,
    self: state.self,
    role: role.kind,
    term: state.currentTerm,
    leader: leaderOf(state),
    votedFor: state.votedFor,
    commitIndex: state.commitIndex,
    lastApplied: state.lastApplied,
    firstIndex: log.firstIndex,
    lastIndex: log.lastIndex,
    persistedIndex: state.persistence.persistedIndex,
    compactableIndex: compactableIndex(state),
    leaseValid: remainingMs > 0,
    leaseRemainingMs: remainingMs,
    configuration: isInitialized(state) ? state.configuration : undefined,
    configurationIndex: toLogIndex(state.configurations.activeIndex),
    configurationPending: isChangePending(state),
    progress:
      role.kind !== 'leader'
        ? []
        : [...role.progress.values()].map((record) => ({
            replicaId: record.replicaId,
            matchIndex: record.match,
            nextIndex: toLogIndex(record.isSelf ? log.lastIndex + 1 : record.nextIndex),
            state: record.state,
            lastHeardMs: record.isSelf ? now : record.lastHeardMs,
          })),
  };
}
