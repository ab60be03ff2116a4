/**
 * What the coordinator of a transaction asks of the router: reads of a snapshot, locks, and the steps of a commit, each
 * cut by range, sent to leaseholders, and retried across redirects and splits until its deadline. Intents in the way are
 * dealt with below this door (`pusher.ts`). The protocol itself, and what a step means, is the coordinator's business.
 */
import { DbError, type ErrorCode, type Span } from '@flotilla/base';
import type { kv } from '@flotilla/shard/protocol';
import type {
  KvRow,
  KvValue,
  OperationOptions,
  WriteBatch,
  WriteCondition,
  WriteMutation,
  WriteOutcome,
} from '../kv-types.ts';

/** One transaction as stores are told of it. Made by the coordinator; the router reads it and notes what it learns. */
export interface TransactionContext {
  /** 16 random bytes. */
  readonly id: Uint8Array;
  readonly startedAt: number;
  /** The snapshot; 0 = not chosen yet. */
  readTimestamp: number;
  /** Versions above the snapshot and up to here may have been there when the transaction began. */
  uncertaintyLimit: number;
  /** By store: its clock when it first answered. */
  readonly observed: Map<number, number>;
  /** Stores at which it may hold a lock or a record. */
  readonly stores: Set<number>;
}

/** Somebody who waits for somebody else, by ids in hex. */
export interface WaitEdge {
  readonly waiter: string;
  readonly waiterStartedAt: number;
  readonly holder: string;
  readonly holderStartedAt: number;
}

/** A request stands in a queue behind these. Told again and again while it waits. */
export interface WaitNotice {
  readonly key: Uint8Array;
  /** Ids in hex; '' = a write outside of transactions. */
  readonly holders: readonly { readonly id: string; readonly startedAt: number }[];
  /** What the leaseholder knows of for whom others wait. */
  readonly edges: readonly WaitEdge[];
}

/** @returns an error that ends the wait and the operation; undefined = goes on waiting */
export type OnWaiting = (notice: WaitNotice) => Error | undefined;

export interface TransactionReadOptions extends OperationOptions {
  readonly onWaiting?: OnWaiting;
}

export interface LockOptions extends TransactionReadOptions {
  readonly mode: 'share' | 'exclusive';
  readonly wait: 'block' | 'nowait' | 'skip';
}

export interface SnapshotValues {
  /** In order of the keys; undefined = absent. */
  readonly values: readonly (KvValue | undefined)[];
  /** Positions of keys that others have locked, where `wait` is `skip`. */
  readonly skipped: readonly number[];
  /** The snapshot. With locks: a time at which these were the newest values. */
  readonly readTimestamp: number;
}

export interface SnapshotScan extends Span {
  readonly maxRows: number;
  readonly reverse: boolean;
  /** What stores are to make of the rows, up to bounds of their own. */
  readonly program?: Uint8Array | undefined;
}

export interface SnapshotRows {
  /** None where the program was run. */
  readonly rows: readonly KvRow[];
  /** What the program made of the rows, and how many these were. Undefined: there was none, or the store knows of none. */
  readonly evaluated: { readonly result: Uint8Array; readonly rowsRead: number } | undefined;
  readonly from: { readonly rangeId: number; readonly storeId: number };
  /** What this batch covers: the asked span up to where it stopped. */
  readonly covered: Span;
  readonly readTimestamp: number;
}

export interface KeyEvaluation {
  /** In key order, without locks. */
  readonly keys: readonly Uint8Array[];
  /** What stores are to make of their rows, up to bounds of their own. */
  readonly program: Uint8Array;
}

export interface EvaluatedKeys {
  /** How many of the keys, from the first, this is about: at least one. The others lie elsewhere, or were too much at once. */
  readonly done: number;
  /** What the program made of their rows, and how many these were; it counts the keys from 0. Undefined: the store knows of no programs. */
  readonly evaluated: { readonly result: Uint8Array; readonly rowsRead: number } | undefined;
  /** One for each, where no program was run; undefined = absent. */
  readonly values: readonly (KvValue | undefined)[];
  readonly from: { readonly rangeId: number; readonly storeId: number };
  readonly readTimestamp: number;
}

/** Nothing in it was written after `since`. `endKey` undefined: one key. */
export interface ReadCheck {
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array | undefined;
  readonly since: number;
}

/** The key's new version is what the program makes of the newest one, where it is evaluated. */
export interface Computation {
  readonly key: Uint8Array;
  /** Opaque to everybody but those who run it. */
  readonly program: Uint8Array;
}

export interface TransactionWrite extends WriteBatch {
  /** Conditions, too: each holds if its program makes something of the key. Numbered behind `conditions`. Without a demanded
   *  timestamp. Default: none. */
  readonly computations?: readonly Computation[];
  readonly readChecks: readonly ReadCheck[];
  /** The timestamp that the versions must carry; 0 = the leaseholder picks one. */
  readonly demandedTimestamp: number;
  /** The versions carry no later one; 0 = any. */
  readonly maxTimestamp: number;
}

export interface Prepare {
  readonly anchorKey: Uint8Array;
  readonly commitTimestamp: number;
  readonly conditions: readonly WriteCondition[];
  readonly mutations: readonly WriteMutation[];
  /** Reads of ranges that are written to as well. */
  readonly readChecks: readonly ReadCheck[];
}

export type PrepareOutcome =
  | { readonly kind: 'prepared' }
  /** `key` and `condition` undefined: a read did not hold. */
  | { readonly kind: 'failed'; readonly condition: WriteCondition | undefined };

export type RecordStatus = 'none' | 'staging' | 'committed' | 'aborted';

export interface RecordState {
  readonly status: RecordStatus;
  readonly commitTimestamp: number;
}

export interface DecidedState extends RecordState {
  /** Of the keys that were to be resolved, those that surely were, as far as the record says how: the same objects. */
  readonly resolved: readonly Uint8Array[];
}

export interface TransactionRecord extends RecordState {
  readonly promisedKeys: readonly Uint8Array[];
  /** They are too many to be told unasked. */
  readonly keysOmitted: boolean;
  readonly ageMs: number;
  readonly coordinatorAlive: boolean;
}

/** Where the record of a transaction is. */
export interface RecordAddress {
  readonly transactionId: Uint8Array;
  readonly anchorKey: Uint8Array;
}

export interface RecordQuery extends RecordAddress {
  /** The promised keys are wanted also if they are many. */
  readonly withAllKeys: boolean;
}

export interface Decision extends RecordAddress {
  readonly expected: 'none' | 'staging';
  readonly expectedTimestamp: number;
  readonly outcome: 'committed' | 'aborted';
  /** Keys of the anchor's range whose intents are resolved with it. Those of other ranges are left out. */
  readonly resolveKeys: readonly Uint8Array[];
  readonly forget: boolean;
}

/** What becomes of one transaction's intents. */
export interface Resolution {
  readonly transactionId: Uint8Array;
  readonly committed: boolean;
  readonly commitTimestamp: number;
  readonly keys: readonly Uint8Array[];
  /** Set: nothing else is left of the transaction; its record beside this key goes. */
  readonly forgetAnchorKey?: Uint8Array;
  /** With it: whoever asks is the coordinator, which will not look for the record any more. */
  readonly byCoordinator?: boolean;
  /** The coordinator's word, before the record says so: see `announce`. */
  readonly undecided?: boolean;
}

export interface LiveTransaction {
  readonly id: Uint8Array;
  readonly startedAt: number;
  readonly edges: readonly WaitEdge[];
}

/**
 * `program-refused`: the store cannot run what the read carries along. `uncertain`: read at `timestamp` or above. `pushed`: write at `timestamp` or above. `several-ranges`: what must be in
 * one range is not. `aborted`: others have recovered it. `too-old`: the snapshot is older than the history. `too-late`: the
 * write could only be made at `timestamp`, which is above its greatest.
 */
export type RefusedReason =
  | 'uncertain'
  | 'pushed'
  | 'several-ranges'
  | 'aborted'
  | 'too-old'
  | 'too-late'
  | 'program-refused';

/** A step that stores refused, with what the coordinator needs to go on. Nothing was done. */
export class TransactionRefused extends DbError {
  readonly reason: RefusedReason;
  /** With `uncertain`, `pushed` and `too-late`; otherwise 0. */
  readonly timestamp: number;

  constructor(reason: RefusedReason, timestamp: number = 0) {
    super(codeOf(reason), textOf[reason]);
    this.reason = reason;
    this.timestamp = timestamp;
  }
}

const textOf: Readonly<Record<RefusedReason, string>> = {
  uncertain: 'a value may be older than the transaction',
  pushed: 'others have read or written what is written here',
  'several-ranges': 'the keys lie in several ranges',
  aborted: 'the transaction was given up by others',
  'too-old': 'the snapshot is older than the history that is kept',
  'too-late': 'the time in which the transaction may commit is over',
  'program-refused': 'the store cannot run the program of the read',
};

function codeOf(reason: RefusedReason): ErrorCode {
  if (reason === 'too-old') return 'SNAPSHOT_TOO_OLD';
  if (reason === 'program-refused') return 'NOT_SUPPORTED';
  return reason === 'several-ranges' ? 'NOT_SUPPORTED' : 'CONFLICT';
}

/** Keys and spans of a plan, by the range that holds them as far as is known now. */
export interface Located {
  readonly rangeId: number;
  readonly keys: readonly Uint8Array[];
  readonly readChecks: readonly ReadCheck[];
}

/** Errors as those of `Router`; and TransactionRefused, with the reasons named at each operation. */
export interface TransactionRouter {
  /** Which client this is to stores. */
  readonly clientId: string;
  /** A timestamp above all that this process has heard of. */
  now(): number;
  /** Snapshots that are older are read at any replica. Unit: ms. */
  readonly followerReadLagMs: number;

  /** Values of the snapshot. One that is not chosen yet is chosen by the leaseholder, or here if there are several.
   *  Refused: uncertain, too-old. */
  get(
    context: TransactionContext,
    keys: readonly Uint8Array[],
    options?: TransactionReadOptions,
  ): Promise<SnapshotValues>;
  /** Locks keys and answers their newest committed values. Errors: LOCK_NOT_AVAILABLE, and those of `onWaiting`. */
  lock(
    context: TransactionContext,
    keys: readonly Uint8Array[],
    options: LockOptions,
  ): Promise<SnapshotValues>;
  /** One batch of rows, of one range. Refused: uncertain, too-old, program-refused. */
  scan(
    context: TransactionContext,
    scan: SnapshotScan,
    options?: TransactionReadOptions,
  ): Promise<SnapshotRows>;
  /** What a program makes of the rows of the first of the keys. Refused: uncertain, too-old, program-refused. */
  evaluate(
    context: TransactionContext,
    evaluation: KeyEvaluation,
    options?: OperationOptions,
  ): Promise<EvaluatedKeys>;

  /** Which ranges hold these, in key order. May be out of date at once. */
  locate(
    keys: readonly Uint8Array[],
    readChecks: readonly ReadCheck[],
    options?: OperationOptions,
  ): Promise<readonly Located[]>;
  /** Checks and writes at one instant, in one range. Refused: pushed, several-ranges, too-late. A read check that fails counts as
   *  a condition behind the others. */
  write(
    context: TransactionContext,
    write: TransactionWrite,
    options?: TransactionReadOptions,
  ): Promise<WriteOutcome>;
  /** Lays intents in all ranges and stages the record. Ends at the first range that does not agree. Refused: pushed,
   *  aborted; and see `onBlocked`. Whatever else fails leaves the fate of the promise open. */
  prepare(
    context: TransactionContext,
    prepare: Prepare,
    options?: PrepareOptions,
  ): Promise<PrepareOutcome>;
  /** @returns whether the reads are the same at `to`, and stay so */
  refresh(
    context: TransactionContext,
    checks: readonly ReadCheck[],
    to: number,
    options?: TransactionReadOptions,
  ): Promise<boolean>;

  query(record: RecordQuery, options?: OperationOptions): Promise<TransactionRecord>;
  /** @returns the record afterwards, whoever decided */
  decide(decision: Decision, options?: OperationOptions): Promise<DecidedState>;
  /** @returns whether every key had the transaction's intent at the timestamp; the others can no longer get it */
  prevent(
    transactionId: Uint8Array,
    commitTimestamp: number,
    keys: readonly Uint8Array[],
    options?: OperationOptions,
  ): Promise<boolean>;
  resolve(resolutions: readonly Resolution[], options?: OperationOptions): Promise<void>;
  /**
   * The coordinator's word that all promises are kept, before the record says so: who waits for the keys goes on at once.
   * Nobody hears what becomes of it, and nothing depends on it.
   */
  announce(transactionId: Uint8Array, commitTimestamp: number, keys: readonly Uint8Array[]): void;
  /**
   * Settles a transaction by what its promised keys say, as somebody who does not know: the one way to find out what
   * became of a commit whose answers were lost. @returns committed or aborted
   */
  recover(record: RecordAddress, options?: OperationOptions): Promise<RecordState>;
  /**
   * Of a transaction whose coordinator seems to be gone: decides it if nobody has and the coordinator is not known to live,
   * and does what is left to do. @param keys some with its intents @throws DbError: to be tried again later
   */
  finish(transaction: RecordAddress & { readonly keys: readonly Uint8Array[] }): Promise<void>;

  /** All locks of these transactions at this store. One try more or less does not matter: locks end by themselves. */
  releaseLocks(storeId: number, transactionIds: readonly Uint8Array[]): void;
  /** These live. @returns those of which the store knows nothing */
  keepLocks(storeId: number, live: readonly LiveTransaction[]): Promise<readonly Uint8Array[]>;
}

export interface PrepareOptions extends TransactionReadOptions {
  /** The intent of another transaction, by its id in hex, is in the way. @returns as `OnWaiting`. */
  readonly onBlocked?: (transactionId: string) => Error | undefined;
}

export type WireRequest = Parameters<typeof kv.Request.encode>[0];
