/** A client of the database in this process: SQL and key-value over one router. Made by `connect` or `createFlotilla`. */
import { type Clock, DbError, type Prng } from '@flotilla/base';
import type { Router } from '@flotilla/router';
import type {
  Logins,
  Notification,
  RemoteCancels,
  SessionOptions,
  SqlEngine,
  SqlSession,
} from '@flotilla/sql';
import {
  type BulkInsertOptions,
  type BulkInsertResult,
  bulkInsert,
  type RowSource,
  type TableName,
} from './bulk-insert.ts';
import { type ConnectionOptions, connectionOver, type SqlConnection } from './connection.ts';
import { createKv, type Kv } from './kv.ts';
import { listenTo, type Subscription } from './listen.ts';
import { type OperationObserver, observedExecutor, observedKv } from './operations.ts';
import { Retries, sessionForEach, type UseSession } from './session-use.ts';
import { type SqlExecutor, sessionExecutor } from './sql-executor.ts';
import { createSqlTag, type SqlTag } from './sql-tag.ts';
import type {
  Transaction,
  TransactionOptions,
  TransactionRunner,
} from './transaction/run-transaction.ts';

export interface Flotilla {
  /** An ordered map of byte strings, apart from the SQL tables. */
  readonly kv: Kv;
  /** One SQL statement, as a transaction of its own. */
  readonly sql: SqlTag;
  /**
   * Runs `work` as one transaction: all of it is made at one instant, or none. Run again, from the start, after a conflict
   * or a deadlock, so it must do nothing that cannot be done twice. Errors: those of `work`; CONFLICT or DEADLOCK when
   * the retries are used up, TIMEOUT, CANCELLED, and OUTCOME_UNKNOWN, after which it is not run again.
   */
  transaction<Result>(
    work: (transaction: Transaction) => Promise<Result>,
    options?: TransactionOptions,
  ): Promise<Result>;
  /**
   * Inserts many rows by the way that COPY takes: quicker than statements, in little memory, and all or none unless
   * `transactions: 'many'` is asked for. @throws as `bulkInsert` says in docs/sdk.md
   */
  bulkInsert(
    table: TableName,
    rows: RowSource,
    options?: BulkInsertOptions,
  ): Promise<BulkInsertResult>;
  /** A session of the caller's own, for settings, temporary tables and BEGIN. Costs no network. @throws DbError CLOSED */
  openConnection(options?: ConnectionOptions): SqlConnection;
  /** The engine's own session, in its own values: for gateways. See `openConnection`. @throws DbError CLOSED */
  createSession(options: SessionOptions): SqlSession;
  /** Who may begin a session: for gateways. */
  readonly logins: Logins;
  /** Takes cancel requests to the process that has the session: for gateways. */
  readonly remoteCancels: RemoteCancels;
  /** That statements of this process have written to temporary files: for gateways. */
  spilledBytes(): number;
  /** Hears of every NOTIFY of a channel from now on, until `close`. At most once each. */
  listen(channel: string, handler: (notification: Notification) => void): Promise<Subscription>;
  /** Ends what this client started; operations under way fail. Idempotent. */
  close(): Promise<void>;
}

/** What a Flotilla is made of. `close` releases what its maker handed in. */
export interface FlotillaParts {
  readonly router: Router;
  readonly engine: SqlEngine;
  readonly transactions: TransactionRunner;
  readonly clock: Clock;
  /** For jitter of retries. */
  readonly prng: Prng;
  /** Undefined: nobody wants to know. */
  readonly observer: OperationObserver | undefined;
  close(): Promise<void>;
}

/** Who `sql` is run as. */
const ownSession: SessionOptions = { user: 'flotilla', database: 'flotilla' };

export class ComposedFlotilla implements Flotilla {
  readonly kv: Kv;
  readonly sql: SqlTag;
  private readonly parts: FlotillaParts;
  private readonly useSession: UseSession;
  private closing: Promise<void> | undefined;

  constructor(parts: FlotillaParts) {
    this.parts = parts;
    const kv = createKv(parts.router, parts);
    this.kv = parts.observer === undefined ? kv : observedKv(kv, parts.observer);
    this.useSession = sessionForEach(({ onRetry }) =>
      this.createSession({ ...ownSession, events: { onRetry } }),
    );
    this.sql = createSqlTag(this.useSession, this.executorOf(this.useSession));
  }

  transaction<Result>(
    work: (transaction: Transaction) => Promise<Result>,
    options: TransactionOptions = {},
  ): Promise<Result> {
    if (this.closing !== undefined)
      return Promise.reject(new DbError('CLOSED', 'the client is closed'));
    const { observer, transactions } = this.parts;
    if (observer === undefined) return transactions.run(work, options);
    return observer.run('transaction', (notes) => {
      let runs = 0;
      const counted: typeof work = (transaction) => {
        notes.retries = runs++;
        return work(transaction);
      };
      return transactions.run(counted, options);
    });
  }

  bulkInsert(
    table: TableName,
    rows: RowSource,
    options?: BulkInsertOptions,
  ): Promise<BulkInsertResult> {
    const { clock, prng, observer } = this.parts;
    const parts = { useSession: this.useSession, clock, prng, mayCommit: true };
    if (observer === undefined) return bulkInsert(parts, table, rows, options);
    return observer.run('bulkInsert', async (notes) => {
      const result = await bulkInsert(parts, table, rows, options);
      notes.retries = result.retries;
      notes.rows = result.rows;
      return result;
    });
  }

  openConnection(options: ConnectionOptions = {}): SqlConnection {
    const { onNotice, ...rest } = options;
    const retries = new Retries();
    const events = { onRetry: retries.onRetry, ...(onNotice === undefined ? {} : { onNotice }) };
    const session = this.createSession({ ...ownSession, ...rest, events });
    return connectionOver({ session, retries }, this.parts, (use) => this.executorOf(use));
  }

  private executorOf(useSession: UseSession): SqlExecutor {
    const executor = sessionExecutor(useSession);
    const { observer } = this.parts;
    return observer === undefined ? executor : observedExecutor(executor, observer);
  }

  get logins(): Logins {
    return this.parts.engine.logins;
  }

  get remoteCancels(): RemoteCancels {
    return this.parts.engine.cancels;
  }

  spilledBytes(): number {
    return this.parts.engine.spilledBytes();
  }

  listen(channel: string, handler: (notification: Notification) => void): Promise<Subscription> {
    return listenTo((events) => this.createSession({ ...ownSession, events }), channel, handler);
  }

  createSession(options: SessionOptions): SqlSession {
    if (this.closing !== undefined) throw new DbError('CLOSED', 'the client is closed');
    return this.parts.engine.createSession(options);
  }

  close(): Promise<void> {
    this.closing ??= this.parts.close();
    return this.closing;
  }
}
