/**
 * What the SQL layer needs of the key-value layer below: a transaction over ordered byte keys. `client` implements it
 * over the router; tests implement it over a map. SQL knows nothing of ranges, stores or consensus.
 *
 * Errors are DbErrors. CONFLICT: others were there first, nothing was written. DEADLOCK: this transaction was chosen to
 * end a cycle of waits. After these two it can only be rolled back, except that after a CONFLICT outside of `commit` a
 * statement that is `restartable` may be run again. LOCK_NOT_AVAILABLE: a lock was not to be had in the time or the way
 * that was asked for; the transaction goes on.
 */
import { DbError, type Span } from '@flotilla/base';

export interface KvPair {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * `serializable`: commits as if alone at one instant. `repeatable read`: one snapshot; only rows that are written or
 * locked are checked at commit. `read committed`: a snapshot for each statement.
 */
export type IsolationLevel = 'serializable' | 'repeatable read' | 'read committed';

/** Held on a key until the transaction ends. Exclusive keeps everybody out, share keeps writers out. */
export type LockMode = 'share' | 'exclusive';

/** What to do about a key that another transaction has locked. */
export type LockWait = 'block' | 'nowait' | 'skip';

export interface ReadOptions {
  /**
   * Locks the keys, and answers their newest committed values instead of those of the snapshot. Where the transaction
   * may not see these beside what it has read before, it fails with CONFLICT. Keys may be absent.
   */
  readonly lock?: LockMode;
  /** With `lock`: this statement has read the keys in its snapshot. CONFLICT if one has changed since then. */
  readonly unchanged?: boolean;
  /** With `lock`: the snapshot stays where it is, whatever the newest values are. Commit checks them like any locked ones. */
  readonly beside?: boolean;
  /** Default: `block`. */
  readonly wait?: LockWait;
  /** The longest wait for one key's lock. Default: none but the operation's own deadline. Unit: ms. */
  readonly lockTimeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Stands for the value of a key that is locked by another transaction, where `wait` is `skip`. */
export const lockedByOther: unique symbol = Symbol('locked by another transaction');

export type LockedValue = Uint8Array | typeof lockedByOther | undefined;

export interface ScanOptions {
  /** Stop after this many pairs. */
  readonly limit?: number;
  readonly reverse?: boolean;
  readonly signal?: AbortSignal;
}

export interface EvaluateOptions {
  readonly reverse?: boolean;
  /** How many parts may be under way at once; 1: what comes first is likely to be enough. Default: as many as there are. */
  readonly ahead?: number;
  readonly signal?: AbortSignal;
}

/** What became of a part of the rows that a program was sent to. Parts come in scan order. */
export interface EvaluatedPart {
  /** What a store's program made of them. Undefined: `pairs` are the rows themselves, not evaluated yet. */
  readonly result: Uint8Array | undefined;
  readonly pairs: readonly KvPair[];
  /** Rows that were read for it. */
  readonly rowsRead: number;
  readonly from: { readonly rangeId: number; readonly storeId: number } | undefined;
  /** What lies before it in scan order is in this part or those before: who stops here can go on from it. Undefined: not known. */
  readonly next: Uint8Array | undefined;
}

/** What became of some of the keys whose rows a program was sent to. Parts come in an order of their own. */
export interface EvaluatedKeys {
  /** Of these keys, among those that were asked for. The program counted them from 0. */
  readonly positions: readonly number[];
  /** What a store's program made of their rows. Undefined: `values` are the rows themselves, not evaluated yet. */
  readonly result: Uint8Array | undefined;
  /** One for each position; undefined = absent. */
  readonly values: readonly (Uint8Array | undefined)[];
  /** Rows that were read for it. */
  readonly rowsRead: number;
  readonly from: { readonly rangeId: number; readonly storeId: number } | undefined;
}

/** A moment in the writes of one transaction. Opaque. */
export interface Savepoint {
  readonly savepoint: unknown;
}

/** The last moment of something. May move, either way, while it is relied on. Unit: that of `KvDatabase.now`. */
export interface TimeBound {
  readonly timestamp: number;
  /**
   * Moves the bound to a moment that has passed, if what it stands for still holds: whoever was slow need not fail for that.
   * @returns whether it is there, or beyond. Never rejects. Absent: it is not moved for anybody.
   */
  reach?(timestamp: number): Promise<boolean>;
}

/** A transaction has more writes waiting for its commit than it may have. */
export class TransactionTooLarge extends DbError {
  constructor(bytesMax: number) {
    super('TOO_LARGE', `a transaction writes at most ${bytesMax} bytes`);
  }
}

export interface KvTransaction {
  /**
   * Whatever is read or locked from now on, and the commit, is as of this moment or earlier: otherwise CONFLICT, unless it can be
   * moved. A commit holds to the bound as it is when it begins, or to a later one, however late its messages arrive. Undefined:
   * there is none.
   */
  bound: TimeBound | undefined;

  /** The snapshot's value, or with `lock` the newest one; the transaction's own writes included. */
  get(key: Uint8Array, options?: ReadOptions): Promise<Uint8Array | undefined>;
  /** As `get`, in one round trip per range; results in order of `keys`. Only `skip` answers `lockedByOther`. */
  getMany(
    keys: readonly Uint8Array[],
    options: ReadOptions & { readonly wait: 'skip' },
  ): Promise<readonly LockedValue[]>;
  getMany(
    keys: readonly Uint8Array[],
    options?: ReadOptions,
  ): Promise<readonly (Uint8Array | undefined)[]>;
  /** Pairs of the span in key order (or reverse), own writes included, in batches that arrived together. Locks nothing. */
  scan(span: Span, options?: ScanOptions): AsyncIterable<readonly KvPair[]>;

  /**
   * As scans of the spans, which are in scan order, but with the rows evaluated where they are, on all ranges at once. What
   * the program means is between the caller and the stores. Where a store does not know it, or the transaction has writes
   * of its own, the rows themselves come back. Undefined: nothing below evaluates.
   */
  evaluate(
    spans: readonly Span[],
    program: Uint8Array,
    options?: EvaluateOptions,
  ): AsyncIterable<EvaluatedPart> | undefined;

  /**
   * As `getMany` without locks, but with the rows evaluated where they are, on all ranges at once. Each key is in one part. Where a
   * store does not know the program, and of keys that the transaction has written, the rows themselves come back. Undefined:
   * nothing below evaluates.
   */
  evaluateKeys(
    keys: readonly Uint8Array[],
    program: Uint8Array,
    signal?: AbortSignal,
  ): AsyncIterable<EvaluatedKeys> | undefined;

  /** Buffers a write. Synchronous: nothing leaves before `commit`. Throws DbError TOO_LARGE. */
  put(key: Uint8Array, value: Uint8Array): void;
  /** As `put`, but the key must be absent: otherwise commit fails with DbError KEY_EXISTS naming the key. Throws
   *  KEY_EXISTS at once if this transaction has already written the key. */
  insert(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
  /** Deletes every key of the span when the transaction commits, together with its writes; each counts as one of them. */
  deleteSpan(span: Span): void;

  /**
   * Nobody but this transaction knows of the span before it commits, and there is nothing in it yet. Writes to it may leave
   * early, see `flush`; reads of it see nothing but them, and are neither locked nor checked. A scan lies within such a span or
   * outside of all. Rolled back with the writes of its time. `deleteSpan` is not for it.
   */
  claim(span: Span): void;
  /** Whether all of it was claimed, and that was not rolled back. */
  hasClaimed(span: Span): boolean;
  /** What waits in memory of writes to claimed spans. Unit: bytes, at least what they hold. */
  readonly claimedBytes: number;
  /**
   * Writes to claimed spans leave memory. If the transaction does not commit they stay behind where nobody finds them: whoever
   * calls this sees to it that somebody `discard`s them. Nothing may be written meanwhile. Once this was called, `commit` does it
   * too. Errors: those of `commit`; KEY_EXISTS where `insert` found no such write of this transaction in memory. None leaves
   * the outcome of the transaction open.
   */
  flush(signal?: AbortSignal): Promise<void>;
  /**
   * What is read from now on is as of this moment or later, which has passed: a snapshot that is older moves. CONFLICT where
   * what was read has changed by then, SNAPSHOT_TOO_OLD for a transaction that reads the past.
   */
  readSince(timestamp: number): Promise<void>;

  /** Remembers what is buffered now. Costs nothing for what is never rolled back to. */
  savepoint(): Savepoint;
  /** The buffered writes are again what they were; the savepoint, and those before it, stay. Locks and reads stay. */
  rollbackTo(savepoint: Savepoint): void;
  /** Forgets the savepoint and those after it. */
  release(savepoint: Savepoint): void;

  /**
   * A statement begins. Under read committed its first read takes a new snapshot, and what earlier statements have read
   * and not written is not checked at commit.
   */
  beginStatement(): void;
  /**
   * Whether the statement that began last can be run again by itself after a CONFLICT: always under read committed;
   * otherwise while no earlier statement has read anything.
   */
  readonly restartable: boolean;
  /** The statement that began last has not been: its reads and writes are forgotten, its locks stay, and the next read
   *  takes a new snapshot. Only where `restartable`. */
  restartStatement(): void;

  /**
   * Makes all buffered writes at once, or none. What is checked, see `IsolationLevel`; keys that were both read and
   * written are always unchanged since they were read.
   * Errors: CONFLICT (nothing written; run the transaction again), KEY_EXISTS, OUTCOME_UNKNOWN, UNAVAILABLE, TIMEOUT.
   */
  commit(): Promise<void>;
  /**
   * All that the transaction does, and its end: at one instant the key's newest value becomes what the program makes of it,
   * where it lies. What the program means is between the caller and the stores.
   * @returns false: nothing was written, because the program makes nothing of the value, there is none, somebody has it locked,
   * or nothing below runs programs; the transaction goes on as if it had just begun
   * Errors: those of `commit`; INVALID_ARGUMENT: it has read, locked or written something.
   */
  commitComputed(key: Uint8Array, program: Uint8Array): Promise<boolean>;
  /** Forgets the buffered writes and lets go of the locks. */
  rollback(): void;
}

export interface BeginOptions {
  /** The caller will neither write nor lock: what is read need not be remembered for commit. Writes then throw. */
  readonly readOnly?: boolean;
  /** Default: `serializable`. */
  readonly isolation?: IsolationLevel;
  /** Reads see the database as it was then: milliseconds since 1970. Read-only transactions alone. */
  readonly asOf?: number;
}

/** Where transactions come from. */
export interface KvDatabase {
  begin(options?: BeginOptions): KvTransaction;
  /**
   * A moment after everything that this process knows to have been committed, in the time of snapshots and commits: a
   * hybrid logical clock's, see `timestampSpan` of `base`.
   */
  now(): number;
  /** How long ago a snapshot must lie to be read wherever is nearest. Unit: ms. Undefined: all are read at one place. */
  readonly followerReadLagMs?: number;
  /**
   * Deletes every key of a span that nothing refers to any more, however many there are: a part at a time, outside of
   * transactions. After an error some of them are gone. Errors: those of a write; CANCELLED.
   */
  discard(span: Span, signal?: AbortSignal): Promise<void>;
}
