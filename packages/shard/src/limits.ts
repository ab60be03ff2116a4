/**
 * Every bound of this package, with unit and reason. Tests and the simulator may hand in cruel values; nothing else may
 * hold a queue, loop, batch or table without a limit from here.
 */
import {
  closedTimestampIntervalMs,
  closedTimestampLagMsDefault,
} from './protocol/closed-timestamps.ts';

export interface StoreLimits {
  /** Requests admitted and not yet answered. Above it: BUSY. */
  readonly requestsInFlightMax: number;
  /** The same while the event loop is late or too much waits for the disk: what is admitted then is served, not queued. */
  readonly requestsInFlightBusyMax: number;
  /** Bytes of those requests. They pin the frames they came in. */
  readonly requestBytesInFlightMax: number;
  /** Writes per client that are remembered by name, twice: how far one may be overtaken. Above it, it counts as doubled. */
  readonly seenRequestsMax: number;
  /** Clients whose writes are remembered: 1,024 of them at most hold some 80 MB. */
  readonly seenClientsMax: number;
  /** What BUSY tells the client to wait. Unit: ms. */
  readonly busyRetryAfterMs: number;
  /** Keys per get: 1,000 x 10 us keeps the loop under 10 ms. */
  readonly getKeysMax: number;
  /** Value bytes per get response, well under the largest message. */
  readonly getBytesMax: number;
  /** Rows and bytes per scan response. */
  readonly scanRowsMax: number;
  readonly scanBytesMax: number;
  /** Rows fetched and checked between two yields to the loop. */
  readonly scanChunkRows: number;
  /** Scans running at once per store: each holds an iterator and a pool thread. Above it: BUSY. */
  readonly scansMax: number;
  /** Programs that read more than `programRowsFree` keys: how many run at once, how many wait for it, and how long;
   *  then they answer with what they have done. Few, so that others' reads get their turns; a wait below what a router takes
   *  for silence. Unit: ms. */
  readonly programRowsFree: number;
  readonly programsRunningMax: number;
  readonly programsWaitingMax: number;
  readonly programWaitMs: number;
  /** One answer of a program: rows that it reads, and how long it may take, about. Unit: ms. */
  readonly programRowsMax: number;
  readonly programMs: number;
  /** Keys of a get with a program that count, the others are for another answer: they are looked up in one turn. */
  readonly programKeysMax: number;
  /** A program lets others run after so long. Unit: ms. */
  readonly programSliceMs: number;
  /** Largest program. Unit: bytes. */
  readonly programBytesMax: number;
  /** Commands evaluated in one turn share log entries up to this size. Unit: bytes of keys and values. */
  readonly entryBytesTarget: number;
  /** The largest single command, with the versions that it replaces: a largest value may replace a largest value.
   *  Above it: TOO_LARGE. */
  readonly commandBytesMax: number;
  readonly commandConditionsMax: number;
  readonly commandMutationsMax: number;
  /** Keys that the spans of one command may delete. */
  readonly deleteKeysMax: number;
  /** Evaluated bytes per range that are not applied yet. Above it: BUSY. */
  readonly overlayBytesMax: number;
  /** Requests per range that wait for a new leaseholder to be ready or for a span to be read. Above it: BUSY. */
  readonly parkedMax: number;
  /** How long a request waits at the leaseholder for another transaction's intent before its client looks into it: longer
   *  than a commit takes as a rule. Unit: ms. */
  readonly intentWaitMs: number;
  /** How long one waits for a lock before its client hears for whom, and how long its place is then kept. Unit: ms. */
  readonly lockWaitMs: number;
  readonly lockPlaceMs: number;
  /** Keys with a lock or a queue per range: some 30 MB. Above it: BUSY. */
  readonly locksMax: number;
  /** A transaction that its coordinator does not renew for so long loses its locks, a fifth of it later at most, and what it
   *  has promised is finished, a third of it later at most: within 5 s, three renewals missed. Unit: ms. */
  readonly transactionTtlMs: number;
  /** Prepares with an older commit timestamp are refused; ABORTED records and markers, which stop prepares that are late,
   *  are kept for longer, by twice at least. Unit: ms. */
  readonly prepareAgeMs: number;
  readonly recordTtlMs: number;
  /** Sessions per range. One more evicts the one unused for longest, in log order. */
  readonly sessionsMax: number;
  /** A session unused for longer is evicted by the next command of the range, by the commands' own timestamps. Far above
   *  any operation's deadline: a retry that comes later learns only that its outcome is unknown. Unit: ms. */
  readonly sessionTtlMs: number;
  /** Results per session that the client has not acknowledged, and commands under way. Above it: BUSY. */
  readonly sessionResultsMax: number;
  /** Applied log bytes between checkpoints: bounds replay after a crash and the size of the log. */
  readonly checkpointBytes: number;
  /** Ranges per RangeReport message. */
  readonly reportRangesMax: number;
  /** Versions older than this are history that may be forgotten. Unit: ms. */
  readonly historyTtlMs: number;
  /** How long ago the timestamps were that leaseholders close: nothing is written below any more, and followers may serve
   *  them. Unit: ms. */
  readonly closedTimestampLagMs: number;
  /** A range with promises of that time waits so much longer: they belong to a transaction that may still be promising, and
   *  would be pushed. As long as a commit may take. Unit: ms. */
  readonly closedTimestampHoldMs: number;
  /** How often that happens: one message per pair of stores. Unit: ms. */
  readonly closedTimestampIntervalMs: number;
  /** Ranges of which one such message speaks: some 100 KB. */
  readonly closedChangesPerMessage: number;
  /** History rows looked at per sweep step. */
  readonly historySweepRows: number;
  /** Snapshots being received, and being sent, at once per store. Each holds an iterator or a stream of engine writes. */
  readonly snapshotsReceivingMax: number;
  readonly snapshotsSendingMax: number;
  /** Snapshots of ranges that hold no more than this, beside those, each way: most of their time goes by in waiting for
   *  disks and for the log. Unit: bytes. */
  readonly smallSnapshotBytes: number;
  readonly smallSnapshotsMax: number;
  /** Bytes of a snapshot's stream per chunk: with its envelope a chunk fits one frame. */
  readonly snapshotChunkBytes: number;
  /** Chunks on their way or waiting to be written. */
  readonly snapshotWindowChunks: number;
  /** A transfer without progress for this long is given up, on either side. Unit: ms. */
  readonly snapshotIdleMs: number;
  /** Rows per engine write when data that nothing refers to is deleted. */
  readonly reclaimRows: number;
  /** A replica that hears no leader for this long asks whether it is a member still. Unit: ms. */
  readonly leaderlessMs: number;
  /** A learner that nobody promotes is removed after this long; a change of members without progress ends. Unit: ms. */
  readonly strayLearnerMs: number;
  /** Splits under way at once per store. Each holds its range's writes for a round of the log. */
  readonly splitsMax: number;
  /** A range that holds more than this is cut in the middle; 0 = never. So much a snapshot moves, at most twice that while
   *  it is being cut. Unit: bytes. */
  readonly splitBytes: number;
  /** A range that is asked more often than this is cut where both sides get about as much; 0 = never. Above what one range
   *  can do with a log of its own there is nothing to gain. Unit: requests of one key per second; `request-work.ts`. */
  readonly splitRequestsPerSecond: number;
}

/** A peer's clock further ahead than this is not followed. Unit: ms. DESIGN §7. */
export const maxClockOffsetMs = 250;

export const defaultStoreLimits: StoreLimits = {
  requestsInFlightMax: 65_536,
  requestsInFlightBusyMax: 64,
  requestBytesInFlightMax: 128 * 1024 * 1024,
  seenRequestsMax: 1024,
  seenClientsMax: 1024,
  busyRetryAfterMs: 20,
  getKeysMax: 1000,
  getBytesMax: 8 * 1024 * 1024,
  scanRowsMax: 10_000,
  scanBytesMax: 4 * 1024 * 1024,
  scanChunkRows: 256,
  scansMax: 256,
  programRowsFree: 512,
  programsRunningMax: 2,
  programsWaitingMax: 64,
  programWaitMs: 200,
  programRowsMax: 50_000,
  programMs: 100,
  programKeysMax: 256,
  programSliceMs: 2,
  programBytesMax: 1024 * 1024,
  entryBytesTarget: 1024 * 1024,
  commandBytesMax: 8 * 1024 * 1024 + 64 * 1024,
  commandConditionsMax: 20_000,
  commandMutationsMax: 20_000,
  deleteKeysMax: 10_000,
  overlayBytesMax: 64 * 1024 * 1024,
  parkedMax: 16_384,
  intentWaitMs: 50,
  lockWaitMs: 200,
  lockPlaceMs: 1000,
  locksMax: 100_000,
  transactionTtlMs: 3000,
  prepareAgeMs: 30_000,
  recordTtlMs: 60_000,
  sessionsMax: 4096,
  sessionTtlMs: 60 * 60 * 1000,
  sessionResultsMax: 1024,
  checkpointBytes: 32 * 1024 * 1024,
  reportRangesMax: 256,
  historyTtlMs: 10 * 60 * 1000,
  closedTimestampLagMs: closedTimestampLagMsDefault,
  closedTimestampHoldMs: 10_000,
  closedTimestampIntervalMs,
  closedChangesPerMessage: 8192,
  historySweepRows: 2000,
  snapshotsReceivingMax: 2,
  snapshotsSendingMax: 4,
  smallSnapshotBytes: 1024 * 1024,
  smallSnapshotsMax: 16,
  snapshotChunkBytes: 240 * 1024,
  snapshotWindowChunks: 6,
  snapshotIdleMs: 10_000,
  reclaimRows: 500,
  leaderlessMs: 4000,
  strayLearnerMs: 60_000,
  splitsMax: 4,
  splitBytes: 512 * 1024 * 1024,
  splitRequestsPerSecond: 20_000,
};
