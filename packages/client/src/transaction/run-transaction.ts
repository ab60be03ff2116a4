/**
 * `db.transaction`: one function, run as one transaction over tables and keys, and run again when others were in its way.
 * SQL statements and key-value operations of it share one `KvTransaction`. Called by the SDK alone.
 */
import { type Clock, DbError, kvPrefix, type Prng, valueBytesMax } from '@flotilla/base';
import {
  type IsolationLevel,
  type KvTransaction,
  type SqlEngine,
  SqlError,
  type SqlSession,
} from '@flotilla/sql';
import {
  type BulkInsertOptions,
  type BulkInsertResult,
  bulkInsert,
  type RowSource,
  type TableName,
} from '../bulk-insert.ts';
import { type BytesLike, toBytes } from '../bytes-like.ts';
import { type KvScanOptions, scanSpan, storedKey } from '../kv.ts';
import { backOff, isConflict } from '../retry.ts';
import { Retries, sharedSession, type UseSession } from '../session-use.ts';
import { type SqlExecutor, sessionExecutor } from '../sql-executor.ts';
import { createSqlTag, type SqlTag } from '../sql-tag.ts';
import type { StatementOptions } from '../statement.ts';
import { Outcomes } from './idempotency.ts';
import type { TransactionDatabase } from './transaction-database.ts';

export interface TransactionOptions {
  /** Default: `serializable`. */
  readonly isolation?: IsolationLevel;
  /** How often it is run again after a conflict or deadlock. Default: 10. */
  readonly retries?: number;
  /** For all runs together, retries and pauses included; a commit under way is not cut short. Default: none. Unit: ms. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /**
   * Makes it happen once: for a day, whoever runs a transaction under the same key again, in this process or another, gets
   * the result of the one that committed, as JSON has it, and the function is not run. Name what is being done, not the try.
   * A commit whose outcome could not be learned is then looked up and, where it was not made, tried again.
   */
  readonly idempotencyKey?: string;
}

/** Values of one snapshot, and writes that are made at the end. */
export interface TransactionKv {
  get(key: BytesLike): Promise<Uint8Array | undefined>;
  getMany(keys: readonly BytesLike[]): Promise<readonly (Uint8Array | undefined)[]>;
  /** The newest value, which nobody else writes until the end. */
  getForUpdate(key: BytesLike): Promise<Uint8Array | undefined>;
  scan(
    options?: Omit<KvScanOptions, 'timeoutMs' | 'signal'>,
  ): AsyncIterable<{ readonly key: Uint8Array; readonly value: Uint8Array }>;
  put(key: BytesLike, value: BytesLike): void;
  delete(key: BytesLike): void;
}

export interface Transaction {
  readonly kv: TransactionKv;
  /** Statements of the transaction, one after the other. BEGIN, COMMIT and the like are not for it. */
  readonly sql: SqlTag;
  /** As one of its statements. */
  bulkInsert(
    table: TableName,
    rows: RowSource,
    options?: Omit<BulkInsertOptions, 'transactions' | 'rowsPerTransaction' | 'onCommitted'>,
  ): Promise<BulkInsertResult>;
}

export interface TransactionRunnerParts {
  readonly database: TransactionDatabase;
  readonly engine: SqlEngine;
  readonly clock: Clock;
  /** For jitter. */
  readonly prng: Prng;
  /** Looks at the statements of transactions. */
  readonly observe?: (executor: SqlExecutor) => SqlExecutor;
}

const retriesDefault = 10;

interface RunOptions {
  readonly isolation: IsolationLevel;
  /** Of the row that says what came of it. */
  readonly outcomeKey: Uint8Array | undefined;
  readonly limit: AbortSignal;
}

export class TransactionRunner {
  private readonly parts: TransactionRunnerParts;
  private readonly outcomes: Outcomes;

  constructor(parts: TransactionRunnerParts) {
    this.parts = parts;
    this.outcomes = new Outcomes(parts.database, parts.clock);
  }

  async run<Result>(
    work: (transaction: Transaction) => Promise<Result>,
    options: TransactionOptions,
  ): Promise<Result> {
    const { retries = retriesDefault, idempotencyKey, isolation = 'serializable' } = options;
    const outcomeKey =
      idempotencyKey === undefined ? undefined : this.outcomes.keyOf(idempotencyKey);
    if (outcomeKey !== undefined) this.outcomes.maybeSweep();
    const limit = new TimeLimit(this.parts.clock, options);
    try {
      for (let retry = 0; ; retry++) {
        limit.check();
        try {
          return await this.runOnce(work, { isolation, outcomeKey, limit: limit.signal });
        } catch (error) {
          // Under a key nothing is made twice: the next run finds what this one has made, or keeps it from being made.
          const again = isConflict(error) || (outcomeKey !== undefined && isInDoubt(error));
          if (!isInDoubt(error)) limit.check();
          if (retry >= retries || !again || limit.signal.aborted) throw error;
        }
        await backOff(this.parts, retry);
      }
    } finally {
      limit.end();
    }
  }

  private async runOnce<Result>(
    work: (transaction: Transaction) => Promise<Result>,
    { isolation, outcomeKey, limit }: RunOptions,
  ): Promise<Result> {
    const kv = this.parts.database.begin({ isolation });
    let sharedWithSql = false;
    const retries = new Retries();
    const session = this.parts.engine.createSession({
      user: 'flotilla',
      database: 'flotilla',
      events: { onRetry: retries.onRetry },
      transactions: {
        begin: () => {
          sharedWithSql = true;
          return kv;
        },
        now: () => this.parts.database.now(),
        discard: (span, signal) => this.parts.database.discard(span, signal),
      },
    });
    const check = (): void => {
      if (session.transactionStatus === 'idle')
        throw new DbError('INVALID_ARGUMENT', 'the transaction ends with its function');
    };
    const share = sharedSession(session, check, retries);
    let ended = false;
    const useSession: UseSession = () => {
      if (ended) throw new DbError('CLOSED', 'the transaction has ended');
      return share();
    };
    // What the function has begun and not awaited ends with it.
    const left = new AbortController();
    const signal = AbortSignal.any([limit, left.signal]);
    try {
      await command(session, `BEGIN ISOLATION LEVEL ${isolation}`);
      if (outcomeKey !== undefined) {
        const found = await this.outcomes.find(kv, outcomeKey, signal);
        if (found !== undefined) return found.result as Result;
      }
      const result = await work(this.transactionOver(kv, useSession, signal));
      ended = true;
      await share().turn(async () => {
        if (session.transactionStatus === 'failed')
          throw new SqlError('25P02', 'a statement of the transaction has failed');
        if (outcomeKey !== undefined) this.outcomes.note(kv, outcomeKey, result);
        // SQL commits what it has taken part in: it may have more to do than the writes.
        if (sharedWithSql) await command(session, 'COMMIT');
        else await kv.commit();
      });
      return result;
    } finally {
      ended = true;
      left.abort();
      await share().turn(async () => {
        session.close();
        kv.rollback();
      });
    }
  }

  private transactionOver(
    kv: KvTransaction,
    useSession: UseSession,
    signal: AbortSignal,
  ): Transaction {
    const executor = within(sessionExecutor(useSession), signal);
    const bulk = { ...this.parts, useSession, mayCommit: false };
    return {
      kv: new KvOfTransaction(kv, signal),
      sql: createSqlTag(useSession, this.parts.observe?.(executor) ?? executor),
      bulkInsert: (table, rows, options = {}) =>
        bulkInsert(bulk, table, rows, { ...options, signal: both(signal, options.signal) }),
    };
  }
}

class KvOfTransaction implements TransactionKv {
  private readonly transaction: KvTransaction;
  private readonly signal: AbortSignal;

  constructor(transaction: KvTransaction, signal: AbortSignal) {
    this.transaction = transaction;
    this.signal = signal;
  }

  get(key: BytesLike): Promise<Uint8Array | undefined> {
    return this.transaction.get(storedKey(key), { signal: this.signal });
  }

  getMany(keys: readonly BytesLike[]): Promise<readonly (Uint8Array | undefined)[]> {
    return this.transaction.getMany(keys.map(storedKey), { signal: this.signal });
  }

  getForUpdate(key: BytesLike): Promise<Uint8Array | undefined> {
    return this.transaction.get(storedKey(key), { lock: 'exclusive', signal: this.signal });
  }

  async *scan(
    options: Omit<KvScanOptions, 'timeoutMs' | 'signal'> = {},
  ): AsyncIterable<{ readonly key: Uint8Array; readonly value: Uint8Array }> {
    const span = scanSpan(options);
    const { limit, reverse } = options;
    if (span === undefined || limit === 0) return;
    const batches = this.transaction.scan(span, {
      signal: this.signal,
      ...(limit === undefined ? {} : { limit }),
      ...(reverse === undefined ? {} : { reverse }),
    });
    for await (const batch of batches)
      for (const { key, value } of batch) yield { key: key.subarray(kvPrefix.length), value };
  }

  put(key: BytesLike, value: BytesLike): void {
    const bytes = toBytes(value, 'a value');
    if (bytes.length > valueBytesMax)
      throw new DbError('TOO_LARGE', `a value has at most ${valueBytesMax} bytes`);
    this.transaction.put(storedKey(key), bytes);
  }

  delete(key: BytesLike): void {
    this.transaction.delete(storedKey(key));
  }
}

/** The caller's signal and deadline as one signal. */
class TimeLimit {
  private readonly controller = new AbortController();
  private readonly outer: AbortSignal | undefined;
  private readonly onAbort = (): void => this.controller.abort();
  private readonly cancelTimer: () => void;
  private timedOut = false;

  constructor(clock: Clock, options: TransactionOptions) {
    this.outer = options.signal;
    if (this.outer?.aborted === true) this.controller.abort();
    this.outer?.addEventListener('abort', this.onAbort);
    const { timeoutMs } = options;
    if (timeoutMs === undefined) {
      this.cancelTimer = () => {};
      return;
    }
    const timer = clock.setTimer(timeoutMs, () => {
      this.timedOut = true;
      this.controller.abort();
    });
    this.cancelTimer = () => timer.cancel();
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** @throws DbError TIMEOUT, CANCELLED */
  check(): void {
    if (!this.controller.signal.aborted) return;
    if (this.timedOut) throw new DbError('TIMEOUT', 'the transaction took too long');
    throw new DbError('CANCELLED', 'the caller cancelled');
  }

  end(): void {
    this.outer?.removeEventListener('abort', this.onAbort);
    this.cancelTimer();
  }
}

function isInDoubt(error: unknown): boolean {
  return (
    (error instanceof SqlError && error.code === '40003') ||
    (error instanceof DbError && error.outcome === 'unknown')
  );
}

async function command(session: SqlSession, text: string): Promise<void> {
  for (const statement of session.parse(text))
    await session.execute(await session.prepare(statement, []), []);
}

/** Statements end with the transaction, and with the caller's signal. */
function within(executor: SqlExecutor, limit: AbortSignal): SqlExecutor {
  const limited = (options: StatementOptions): StatementOptions => ({
    ...options,
    signal: both(limit, options.signal),
  });
  return {
    run: (source, parameters, options) => executor.run(source, parameters, limited(options)),
    stream: (source, parameters, options) => executor.stream(source, parameters, limited(options)),
  };
}

function both(limit: AbortSignal, signal: AbortSignal | undefined): AbortSignal {
  return signal === undefined ? limit : AbortSignal.any([limit, signal]);
}
