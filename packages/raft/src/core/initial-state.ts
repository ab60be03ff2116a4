/** A replica's state as its disk left it. Checks that what the disk and the state machine say fits together. */
import { assert, type Prng, toLogIndex } from '@flotilla/base';
import { assertLimits, assertTimings } from './limits.ts';
import { RaftLog } from './log.ts';
import { Persistence } from './persistence.ts';
import { assertConfiguration, isSoleVoter, isVoter, membersOf } from './quorum.ts';
import type { RaftCoreOptions } from './raft-core.ts';
import type { RaftState } from './state.ts';

export function initialState(options: RaftCoreOptions, prng: Prng): RaftState {
  const { configuration, hardState, now, self, storage, timings, limits } = options;
  assert(configuration !== undefined, 'replicas without a state are not built yet');
  assertConfiguration(configuration);
  assertTimings(timings);
  assertLimits(limits);
  const members = membersOf(configuration);
  assert(members.includes(self), 'a replica is a member of its group', { self });
  const log = new RaftLog(storage, {
    cachedBytesMax: limits.cachedBytesMax,
    appliedIndex: options.appliedIndex,
  });
  assert(log.lastTerm <= hardState.currentTerm, 'no entry is newer than the term', {
    lastTerm: log.lastTerm,
    currentTerm: hardState.currentTerm,
  });
  // A hint on disk may name entries whose write was torn off; what was applied was certainly committed.
  const commitIndex = Math.max(
    options.appliedIndex,
    Math.min(hardState.commitIndex, log.lastIndex),
  );
  const { electionTimeoutMs, electionJitterMs } = timings;
  const jitterMs = prng.nextFloat() * electionJitterMs;
  const alone = isSoleVoter(configuration, self);
  // L3: an earlier life may have promised a leader to be silent. There is no other leader in a group of one.
  const bound = !options.freshGroup && !alone;
  const waitMs = alone ? 0 : (options.freshGroup ? 0 : electionTimeoutMs) + jitterMs;
  return {
    rangeId: options.rangeId,
    self,
    configuration,
    members,
    timings,
    limits,
    prng,
    log,
    persistence: new Persistence(log.lastIndex, hardState),
    outbox: { messages: [], messagesAfterPersist: [], reads: [], ack: undefined },
    currentTerm: hardState.currentTerm,
    votedFor: hardState.votedFor,
    role: { kind: 'follower', leader: undefined },
    commitIndex: toLogIndex(commitIndex),
    lastApplied: options.appliedIndex,
    handedOutIndex: options.appliedIndex,
    replicatedIndex: log.compactedIndex,
    promisedUntilMs: bound ? now + electionTimeoutMs : -Infinity,
    electionDueMs: isVoter(configuration, self) ? now + waitMs : Infinity,
    electionTimeoutMs: electionTimeoutMs + jitterMs,
    lastContext: 0,
    softState: { role: 'follower', term: hardState.currentTerm, leader: undefined },
  };
}
