/** A replica's state as its disk left it. Checks that what the disk and the state machine say fits together. */
import { assert, type Prng, toLogIndex } from '@flotilla/base';
import { ConfigurationHistory } from './configuration-history.ts';
import { assertLimits, assertTimings } from './limits.ts';
import { RaftLog } from './log.ts';
import { configurationOf } from './membership.ts';
import { Persistence } from './persistence.ts';
import { assertConfiguration, membersOf } from './quorum.ts';
import type { RaftCoreOptions } from './raft-core.ts';
import type { RaftState } from './state.ts';

/** 2^32 lives of this many reads fit the exact numbers. */
const contextsPerLife = 2 ** 20;

export function initialState(options: RaftCoreOptions, prng: Prng): RaftState {
  const { configuration, hardState, now, self, storage, timings, limits } = options;
  if (configuration !== undefined) assertConfiguration(configuration);
  assertTimings(timings);
  assertLimits(limits);
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
  const configurations = new ConfigurationHistory(configuration, options.appliedIndex);
  if (configuration === undefined)
    assert(log.lastIndex === 0, 'a replica without a state has no log', { last: log.lastIndex });
  for (const entry of storage.configurations())
    if (entry.index > options.appliedIndex)
      configurations.append(entry.index, configurationOf(entry));
  const members = membersOf(configurations.active);
  // L3: an earlier life may have promised a leader to be silent. There is no other leader in a group of one; a sole
  // voter among learners may have one that the active configuration has just taken the vote from.
  const alone = members.length === 1 && members[0] === self;
  const bound = !options.freshGroup && !alone;
  // After a restart of everything each group's last leader goes first; the others leave it time to win (a vote for itself
  // in the newest term is the mark of it, or of a candidate that came close). A thousand groups then do not campaign twice.
  const patienceMs = hardState.votedFor === self ? 0 : electionJitterMs;
  const waitMs = alone ? 0 : (options.freshGroup ? 0 : electionTimeoutMs + patienceMs) + jitterMs;
  return {
    rangeId: options.rangeId,
    self,
    configurations,
    configuration: configurations.active,
    members,
    timings,
    limits,
    prng,
    log,
    persistence: new Persistence(log.lastIndex, hardState),
    outbox: {
      messages: [],
      messagesAfterPersist: [],
      reads: [],
      snapshot: undefined,
      snapshotsWanted: [],
      ack: undefined,
    },
    currentTerm: hardState.currentTerm,
    votedFor: hardState.votedFor,
    role: { kind: 'follower', leader: undefined, asked: [] },
    commitIndex: toLogIndex(commitIndex),
    lastApplied: options.appliedIndex,
    handedOutIndex: options.appliedIndex,
    replicatedIndex: log.compactedIndex,
    promisedUntilMs: bound ? now + electionTimeoutMs : -Infinity,
    electionDueMs: now + waitMs,
    triesInVain: 0,
    electionTimeoutMs: electionTimeoutMs + jitterMs,
    // Another life of this replica may still be answered: contexts of one life are not those of another.
    lastContext: prng.nextUint32() * contextsPerLife,
    softState: { role: 'follower', term: hardState.currentTerm, leader: undefined },
    leaseUntilMs: -Infinity,
    onLease: options.onLease ?? (() => {}),
  };
}
