/**
 * The contract between SQL and those who speak it to users: the gateway (wire protocol) and the SDK. A session is one
 * user's connection: settings, prepared statements are the caller's business, plans and execution are ours. Statements
 * of one session run one after the other.
 */

export { ArrayValue, type Datum } from './types/values.ts';

import type { SqlError } from './sql-error.ts';
import type { Datum } from './types/values.ts';

/** PostgreSQL's type oid. 0 = not known yet. */
export type Oid = number;

export interface ColumnDescription {
  readonly name: string;
  readonly typeOid: Oid;
  /** pg_type.typlen: -1 for variable length. */
  readonly typeLength: number;
  /** -1, or for varchar(n): n + 4. */
  readonly typeModifier: number;
  /** 0 unless the column is a plain reference to a table's column. */
  readonly tableOid: Oid;
  readonly attributeNumber: number;
}

/** One statement of a source text, parsed. */
export interface ParsedStatement {
  /** The statement's own text. */
  readonly text: string;
  /** Opaque to callers. */
  readonly node: unknown;
}

export interface PreparedStatement {
  /** Types of $1, $2, …: declared or inferred. */
  readonly parameterTypes: readonly Oid[];
  /** Undefined where the statement returns no rows. */
  readonly columns: readonly ColumnDescription[] | undefined;
  /** It surely writes nothing: giving up its rows half-way loses nothing. */
  readonly readOnly: boolean;
  /** COMMIT, ROLLBACK, ROLLBACK TO SAVEPOINT: the only statements that a failed transaction block lets through. */
  readonly endsFailure: boolean;
  /** COPY FROM STDIN: the caller will be asked for data. */
  readonly copiesIn?: boolean;
}

export interface NamedStatement {
  /** Undefined for an empty source text. */
  readonly prepared: PreparedStatement | undefined;
  /** Of the source text. */
  readonly retainedBytes: number;
  /** As the user wrote it. */
  readonly text: string;
  /** It was made by PREPARE, not by a message. */
  readonly fromSql?: boolean;
}

/** The prepared statements of a session by name: those of PREPARE and those of the wire protocol, which are the same to a
 *  user. The protocol's unnamed statement is not among them. */
export interface NamedStatements {
  readonly size: number;
  /** Of all source texts. */
  readonly retainedBytes: number;
  /** Throws SqlError 26000. */
  get(name: string): NamedStatement;
  /** Throws SqlError 42P05: a statement is not replaced. */
  checkFree(name: string): void;
  /** Throws SqlError 42P05, 53400. */
  add(name: string, statement: NamedStatement): void;
  /** Nothing if there is none. */
  delete(name: string): void;
  clear(): void;
}

/**
 * `active`: in a transaction block, or in an implicit transaction that is open. `failed`: in a block in which a
 * statement has failed, so that all others fail with 25P02 until it is rolled back.
 */
export type TransactionStatus = 'idle' | 'active' | 'failed';

/** What an implicit transaction is around: the statements of one simple query, or messages up to a Sync. */
export type ImplicitKind = 'query' | 'pipeline';

/** A transaction, or a savepoint of one: portals made in it live as long as it does. */
export interface TransactionScope {
  /** Committed, rolled back, or rolled back beyond. */
  readonly ended: boolean;
}

export interface StatementResult {
  readonly columns: readonly ColumnDescription[] | undefined;
  /** Row batches, as they come. Consume to the end, or call `return`. Absent where `columns` is. */
  readonly rows: AsyncIterable<readonly (readonly Datum[])[]> | undefined;
  /** The same rows, where all of them are there already: who takes these leaves `rows` alone. */
  readonly allRows?: readonly (readonly Datum[])[];
  /** The command tag, complete only once `rows` has ended: `SELECT 3`, `INSERT 0 1`. */
  commandTag(): string;
  /** The rows of a BINARY cursor: the simple query protocol sends them in binary format. */
  readonly binary?: boolean;
  /** COPY TO: goes out instead of rows. */
  readonly copyOut?: CopyOut;
  /** COPY FROM: nothing has happened yet; `load` does it. */
  readonly copyIn?: CopyIn;
}

export interface CopyOut {
  readonly columnCount: number;
  /** The binary format; else text. */
  readonly binary: boolean;
  /** One for each line, its end included; or for each row of the binary format. Consume to the end, or call `return`. */
  readonly lines: AsyncIterable<readonly (string | Uint8Array)[]>;
}

export interface CopyIn {
  readonly columnCount: number;
  /** The binary format; else text. */
  readonly binary: boolean;
  /** What each row has, in order. */
  readonly columns: readonly ColumnDescription[];
  /** Takes all that `source` has and writes it. Throws as `execute` does, and what `source` throws. */
  load(source: CopySource): Promise<void>;
  /**
   * The same for rows that are values already, as `decode` gives them: a caller in this process need not write them as
   * text. Asks for the next batch when it has written enough of the last. Instead of `load`.
   */
  loadRows(
    source: AsyncIterable<readonly (readonly Datum[])[]>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<void>;
}

export interface CopySource {
  /** The next bytes, cut anywhere; undefined at the end. Rejects with the reason of an abort. */
  read(signal: AbortSignal | undefined): Promise<Uint8Array | undefined>;
}

/** A portal of the caller's as FETCH, MOVE and CLOSE see it, or a cursor as the caller's messages see it: one is the other. */
export interface NamedPortal {
  readonly columns: readonly ColumnDescription[] | undefined;
  /** The next rows, at most `count`; fewer where there are no more. Throws what the statement throws. */
  take(count: number): Promise<readonly (readonly Datum[])[]>;
  close(): Promise<void>;
  /** Its rows go out in binary format, whatever is asked for. */
  readonly binary?: boolean;
}

/** The caller's portals by name. */
export type FindPortal = (name: string) => NamedPortal | undefined;

export interface Notice {
  readonly severity: 'NOTICE' | 'WARNING' | 'INFO';
  readonly code: string;
  readonly message: string;
}

/** What NOTIFY says to those who LISTEN. */
export interface Notification {
  /** Of the session that said it. */
  readonly processId: number;
  readonly channel: string;
  readonly payload: string;
}

export interface SqlSessionEvents {
  onNotice(notice: Notice): void;
  /** A setting that clients are told of changed: `application_name`, `TimeZone`, … */
  onParameterStatus(name: string, value: string): void;
  /** Of a channel that the session listens to. The user is told when no transaction is open. */
  onNotification(notification: Notification): void;
  /** A statement is about to run again, because others were in its way. Nothing of it has left. */
  onRetry(): void;
  /** What the session runs now is to be stopped, if it runs anything. */
  onCancel(): void;
  /** The session cannot go on: whoever speaks to the user says why, as FATAL, and closes it. */
  onTerminate(reason: SqlError): void;
}

export interface SqlSession {
  /** Splits and parses a source text. Throws SqlError 42601 with position. [] for an empty text. */
  parse(text: string): readonly ParsedStatement[];
  /** Resolves names and types. `parameterTypes` may be shorter than the parameters or hold 0s. */
  prepare(statement: ParsedStatement, parameterTypes: readonly Oid[]): Promise<PreparedStatement>;
  /**
   * Runs a prepared statement: in the open transaction, or else in one of its own (autocommit), in which case all work is
   * done and durable when `rows` has ended (or on return, where there are none). A failure rolls an implicit
   * transaction back and leaves a block failed.
   */
  execute(
    prepared: PreparedStatement,
    parameters: readonly Datum[],
    options?: { readonly signal?: AbortSignal },
  ): Promise<StatementResult>;
  /** Wire codecs: text (0) and binary (1) formats of a type. Decoding throws SqlError 22P02, 22P03, 22003, … */
  encode(typeOid: Oid, format: 0 | 1, value: Datum): Uint8Array | null;
  decode(typeOid: Oid, format: 0 | 1, bytes: Uint8Array): Datum;
  /** Of an array type: that of its elements; 0 of all others. Throws SqlError 0A000 for a type that is not there. */
  elementOf(typeOid: Oid): Oid;
  /** The current value of a setting, as SHOW prints it. */
  setting(name: string): string | undefined;

  /** Lets SQL reach the caller's portals. A cursor of the same name comes first. */
  usePortals(find: FindPortal): void;
  /** A cursor that DECLARE made. */
  findCursor(name: string): NamedPortal | undefined;
  /** Prepared statements by name: PREPARE's and the caller's. */
  readonly statements: NamedStatements;
  /** What ReadyForQuery says. */
  readonly transactionStatus: TransactionStatus;
  /** Of the open transaction; undefined where there is none. */
  readonly transactionScope: TransactionScope | undefined;
  /** How long a user may be silent in the present state (idle_session_timeout, idle_in_transaction_session_timeout).
   *  0 = for ever. Unit: ms. */
  readonly idleTimeoutMs: number;
  /**
   * Opens a transaction around several statements. BEGIN turns it into a block, COMMIT and ROLLBACK end it with a warning.
   * Nothing where a transaction is open.
   */
  beginImplicit(kind: ImplicitKind): void;
  /** Ends the transaction that `beginImplicit` opened; nothing if it has become a block or has ended. Throws what a
   *  COMMIT throws. @returns undefined: there is nothing to wait for */
  endImplicit(options: { readonly commit: boolean }): Promise<void> | undefined;
  /** An error of the caller's own was reported to the user: the transaction fails as if a statement had. Idempotent. */
  failTransaction(): void;
  /** The user has left: rolls back. No statement may be running. Idempotent. */
  close(): void;
}
