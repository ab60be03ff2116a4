/**
 * Who belongs to the group, and how that changes: learners come and go one by one, voters change through joint
 * consensus, always. One change at a time, and only after the term has committed an entry of its own. The newest
 * configuration of the log is in force at once. Raft §6, thesis §4.
 */
import {
  assert,
  type LogIndex,
  nextIndex,
  probe,
  type ReplicaId,
  toLogIndex,
} from '@flotilla/base';
import { decodeConfiguration, encodeConfiguration } from '../configuration-codec.ts';
import type { Configuration, LogEntry } from '../messages.ts';
import { isHeard, quorumHeardUntilMs, renewLease } from './lease.ts';
import { memberRecords } from './member-records.ts';
import { Progress } from './progress.ts';
import { assertConfiguration, isVoter, membersOf } from './quorum.ts';
import type { ChangeResult, ConfigurationChange } from './raft-core.ts';
import { confirmRounds } from './read-index.ts';
import { becomeFollower } from './roles.ts';
import { type LeaderRole, leaderOf, type RaftState } from './state.ts';
import { transferLeadership } from './transfer.ts';

/**
 * A learner may be promoted when it lacks at most this many entries: the new majority must not have to wait long for
 * it (thesis §4.2.1). Unit: entries.
 */
export const promotionLagEntriesMax = 1024;

export function isJoint(configuration: Configuration): boolean {
  return configuration.votersOutgoing.length > 0;
}

/** The active configuration is not committed, or joint. */
export function isChangePending(state: RaftState): boolean {
  return state.configurations.activeIndex > state.commitIndex || isJoint(state.configuration);
}

/** The configuration in an entry of the own log. The border (`codec.ts`) lets no other bytes in. */
export function configurationOf(entry: LogEntry): Configuration {
  assert(entry.kind === 'configuration', 'the entry holds a configuration');
  const decoded = decodeConfiguration(entry.data);
  assert(decoded.ok, 'a configuration entry is well formed', { index: entry.index });
  return decoded.configuration;
}

/** The history has changed: what it says now is in force. A leader's records are `rebuildRecords`'. */
export function refreshConfiguration(state: RaftState): void {
  state.configuration = state.configurations.active;
  state.members = membersOf(state.configuration);
}

export function changeConfiguration(
  state: RaftState,
  change: ConfigurationChange,
  now: number,
): ChangeResult {
  const leader = state.role;
  if (leader.kind !== 'leader') return { ok: false, reason: 'notLeader', leader: leaderOf(state) };
  const refused = (reason: Exclude<ChangeResult, { ok: true }>['reason']): ChangeResult => ({
    ok: false,
    reason,
    leader: state.self,
  });
  if (leader.transfer !== undefined) return refused('transferring');
  // A leader that has committed nothing of its own does not know which configurations are committed.
  if (state.commitIndex < leader.termStartIndex) return refused('notReady');
  if (isChangePending(state)) return refused('changePending');
  const next = changed(state.configuration, change);
  if (next === undefined) return refused('invalid');
  if (change.kind === 'changeVoters')
    for (const replica of change.promote)
      if (!isCaughtUp(state, leader, replica, now)) return refused('notCaughtUp');
  const size = encodeConfiguration(next).length;
  if (leader.uncommittedBytes > 0)
    if (leader.uncommittedBytes + size > state.limits.uncommittedBytesMax)
      return refused('tooManyUncommitted');
  if (isJoint(next)) probe('jointEntered');
  return {
    ok: true,
    index: appendConfiguration(state, leader, next, now),
    term: state.currentTerm,
  };
}

function sorted(replicas: readonly ReplicaId[]): readonly ReplicaId[] {
  return [...replicas].sort((one, other) => one - other);
}

/** The configuration that a change leads to, or undefined if it makes no sense in this one. Pure. */
export function changed(
  configuration: Configuration,
  change: ConfigurationChange,
): Configuration | undefined {
  const { voters, learners } = configuration;
  const storeOf = new Map(configuration.storeOf);
  switch (change.kind) {
    case 'addLearner':
      if (storeOf.has(change.replicaId)) return undefined;
      storeOf.set(change.replicaId, change.storeId);
      return { ...configuration, learners: sorted([...learners, change.replicaId]), storeOf };
    case 'removeLearner':
      if (!learners.includes(change.replicaId)) return undefined;
      storeOf.delete(change.replicaId);
      return {
        ...configuration,
        learners: learners.filter((each) => each !== change.replicaId),
        storeOf,
      };
    default: {
      const { promote, demote } = change;
      const incoming = sorted([...voters.filter((each) => !demote.includes(each)), ...promote]);
      const sensible =
        promote.length + demote.length > 0 &&
        new Set([...promote, ...demote]).size === promote.length + demote.length &&
        promote.every((each) => learners.includes(each)) &&
        demote.every((each) => voters.includes(each)) &&
        incoming.length > 0;
      if (!sensible) return undefined;
      return {
        voters: incoming,
        votersOutgoing: voters,
        learners: learners.filter((each) => !promote.includes(each)),
        storeOf,
      };
    }
  }
}

/** What a joint configuration becomes: the incoming voters, and the demoted ones as learners. Pure. */
export function left(configuration: Configuration): Configuration {
  const { voters, votersOutgoing, learners, storeOf } = configuration;
  const demoted = votersOutgoing.filter((each) => !voters.includes(each));
  return { voters, votersOutgoing: [], learners: sorted([...learners, ...demoted]), storeOf };
}

/** The commit index has moved: goes on with a change, or steps down if it has removed this leader. */
export function onCommitAdvanced(state: RaftState, leader: LeaderRole, now: number): void {
  state.configurations.settle(state.commitIndex);
  if (state.configurations.activeIndex > state.commitIndex) return;
  if (isJoint(state.configuration)) {
    maybeLeaveJoint(state, leader, now);
  } else if (!isVoter(state.configuration, state.self)) {
    probe('leaderSteppedDownRemoved');
    becomeFollower(state, state.currentTerm, undefined, now);
  }
}

/**
 * Leaves a committed joint configuration. A leader that is to lose its vote first tries, once, to hand over to one that
 * keeps its own, so that nobody has to wait for a timeout (thesis §4.2.2).
 */
export function maybeLeaveJoint(state: RaftState, leader: LeaderRole, now: number): void {
  const { configuration } = state;
  if (!isJoint(configuration) || leader.transfer !== undefined) return;
  if (state.configurations.activeIndex > state.commitIndex) return;
  if (state.commitIndex < leader.termStartIndex) return;
  if (!configuration.voters.includes(state.self) && !leader.handOverTried) {
    leader.handOverTried = true;
    const heir = bestHeir(state, leader, now);
    if (heir !== undefined && transferLeadership(state, heir, now).ok) return;
  }
  probe('jointLeft');
  appendConfiguration(state, leader, left(configuration), now);
}

/** The voter to come whose log is closest, among those heard of within E. */
function bestHeir(state: RaftState, leader: LeaderRole, now: number): ReplicaId | undefined {
  let best: Progress | undefined;
  for (const replica of state.configuration.voters) {
    const record = leader.progress.get(replica);
    assert(record !== undefined, 'a voter is a member');
    if (record.state !== 'replicate') continue;
    if (!isHeard(state, record, now)) continue;
    if (best === undefined || record.matchIndex > best.matchIndex) best = record;
  }
  return best?.replicaId;
}

function isCaughtUp(
  state: RaftState,
  leader: LeaderRole,
  replica: ReplicaId,
  now: number,
): boolean {
  const record = leader.progress.get(replica);
  return (
    record?.state === 'replicate' &&
    state.log.lastIndex - record.matchIndex <= promotionLagEntriesMax &&
    isHeard(state, record, now)
  );
}

function appendConfiguration(
  state: RaftState,
  leader: LeaderRole,
  configuration: Configuration,
  now: number,
): LogIndex {
  assertConfiguration(configuration);
  probe('configurationChanged');
  const data = encodeConfiguration(configuration);
  const index = nextIndex(state.log.lastIndex);
  state.log.append({ index, term: state.currentTerm, kind: 'configuration', data });
  leader.uncommittedBytes += data.length;
  state.configurations.append(index, configuration);
  refreshConfiguration(state);
  rebuildRecords(state, leader, now);
  leader.sendWanted = true;
  return toLogIndex(index);
}

/**
 * Members that stay keep their records: what they have and what they promised does not change. Everything that counts
 * majorities is counted again.
 */
function rebuildRecords(state: RaftState, leader: LeaderRole, now: number): void {
  const { configuration, self, log } = state;
  const records = memberRecords(
    configuration,
    (replicaId) =>
      (replicaId === self ? leader.own : leader.progress.get(replicaId)) ??
      new Progress({ replicaId, isSelf: false, nextIndex: log.lastIndex, now }),
  );
  leader.progress = records.progress;
  leader.peers = records.peers;
  leader.voterSets = records.voterSets;
  const alone = leader.peers.length === 0;
  const { heartbeatIntervalMs } = state.timings;
  leader.heartbeatDueMs = alone
    ? Infinity
    : Math.min(leader.heartbeatDueMs, now + heartbeatIntervalMs);
  leader.checkQuorumDueMs = alone ? Infinity : quorumHeardUntilMs(state, leader);
  renewLease(state, leader);
  confirmRounds(state, leader);
}
