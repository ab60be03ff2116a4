/**
 * Marks of rare paths. Code that runs seldom says `probe('name')`; the simulator counts, and a long run that never reached
 * a probe has shown nothing about what lies behind it. In production a call is one increment that nobody reads. Changes no
 * behaviour, so the pure core may call it. Names are listed here, so that a wrong one does not compile.
 */

/** Every probe, with what it marks. The order is that of reports. */
export const probeNames = [
  // ---- elections and leases
  /** A replica refused a pre-vote because it promised its leader silence (L2) or had just started (L3). */
  'preVoteRefusedByLease',
  /** The same for a vote: the candidate's term is not even adopted. */
  'voteRefusedByLease',
  /** A vote was refused because the candidate's log is older. */
  'voteRefusedByLog',
  /** A leader that did not hear a quorum for an election timeout stepped down (L6). */
  'leaderSteppedDownNoQuorum',
  'leaseDroppedByDisk',
  'leaseDroppedByClock',
  /** The target of a transfer did not take over in time: the leader goes on without a lease. */
  'transferAborted',
  /** A leader whose transfer failed had itself elected again, so that leases resume. */
  'reelectedAfterTransfer',
  /** A TimeoutNow of another term, another leader or another log: no campaign. */
  'lateTimeoutNowIgnored',
  // ---- logs
  /** A follower replaced entries that another leader had left. */
  'logTruncatedConflict',
  /** A leader committed entries of earlier terms with one of its own (Figure 8). */
  'oldTermCommittedIndirectly',
  'walTornTail',
  /** A log segment or a value is damaged, and the process ended for it. */
  'walCorruptExit',
  'engineCorruptExit',
  'diskFullExit',
  'diskFailedExit',
  // ---- reads
  /** A read that waited for a round of heartbeats failed because leadership went elsewhere. */
  'readIndexAcrossLeaderChange',
  'followerRead',
  /** A follower served a snapshot by itself, at a timestamp that was closed there; it could not, and said so. */
  'closedFollowerRead',
  'followerReadNotClosed',
  /** What a store said of closed timestamps did not arrive, and was asked for again. */
  'closedTimestampsMissed',
  // ---- membership
  'configurationChanged',
  'jointEntered',
  'jointLeft',
  /** A leader was lost while its range was in a joint configuration. */
  'jointInterruptedByLeaderCrash',
  /** A configuration entry was truncated, and the one before is in force again. */
  'configurationRolledBack',
  'leaderSteppedDownRemoved',
  'learnerVoted',
  /** A replica that has no state yet voted, so that a range that a split has made could have a leader. */
  'votedWithoutState',
  'replicaRemoved',
  'uninitializedReplicaCreated',
  // ---- snapshots
  'snapshotInstalled',
  'snapshotRefusedStale',
  'snapshotOvertaken',
  'snapshotDuringConfigurationChange',
  // ---- splits
  'rangeSplit',
  /** A split was committed after something else had changed the range: it counts for nothing. */
  'splitVoid',
  'rangeIdsGranted',
  'splitBySize',
  'splitByLoad',
  /** The right half of a split was not made here: its replica is gone, or newer, or the left one is on its way out. */
  'splitWithoutRightReplica',
  /** A replica that a message had made before the split was applied here got its state from the split. */
  'splitFoundUninitializedReplica',
  /** A range that arose by a split shortly before a crash was made again from its parent's log. */
  'splitReplayedAtOpening',
  // ---- stores
  /** A store took back its word that its replicas follow another store's leaders. */
  'storeSupportWithdrawn',
  // ---- exactly once
  /** A command came a second time and was not executed again. */
  'duplicateCommandSkipped',
  'sessionExpired',
  // ---- transactions
  'transactionInOneCommand',
  /** In one range, at the timestamp of its reads elsewhere. */
  'transactionAtItsReadTimestamp',
  'preparePushed',
  /** A write's new value was made of the newest one by its program. */
  'writeComputed',
  /** A write came after the last moment at which its transaction may commit. */
  'writeTooLate',
  'prepareRepeated',
  'transactionCommitted',
  'transactionAborted',
  /** Recovery made a promise impossible. */
  'transactionPrevented',
  /** Somebody else than its coordinator looked at every promise of a STAGING transaction, and decided it. */
  'stagingRecovered',
  /** A store has found a transaction without a coordinator and had it finished. */
  'abandonedTransaction',
  /** Recovery found the intent that it asked for. */
  'promiseFound',
  'refreshFailed',
  /** A transaction went on at a later snapshot, because all that it had read is the same there. */
  'snapshotMoved',
  /** A leaseholder that had locks, or requests that waited for one, was replaced. */
  'locksLostWithLease',
  'splitMovedIntents',
  'snapshotHadIntents',
  /** A write came over the intent of a transaction that was announced to be committed. */
  'announcedResolved',
  'historyRead',
  'keysEvaluated',
  /** The first range's leaseholder sent a report to where the row is. */
  'rangeReportSentOn',
  /** A new leaseholder heard from the one before up to when it had served. */
  'leaseHandedOver',
  /** The right half of a split began with what was read and locked there before. */
  'splitInheritsReads',
  'readUncertain',
  /** A read check was too old for the recent writes. */
  'readCheckLookedUp',
] as const;
export type ProbeName = (typeof probeNames)[number];

function zeroes(): Record<ProbeName, number> {
  return Object.fromEntries(probeNames.map((name) => [name, 0])) as Record<ProbeName, number>;
}

const counts: Record<ProbeName, number> = zeroes();

/** The path was taken. O(1), no allocation. */
export function probe(name: ProbeName): void {
  counts[name]++;
}

/** How often since the process began or `resetProbes`. Every name, zero ones too. */
export function probeCounts(): ReadonlyMap<ProbeName, number> {
  return new Map(probeNames.map((name) => [name, counts[name]]));
}

/** For one run of a test or a simulation at a time: the counters are the process's. */
export function resetProbes(): void {
  Object.assign(counts, zeroes());
}
