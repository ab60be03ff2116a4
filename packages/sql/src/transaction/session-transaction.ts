/**
 * Transactions as one session sees them: which one is open, whether it has failed, and what BEGIN, COMMIT, ROLLBACK,
 * SAVEPOINT and SET TRANSACTION do to that, with the warnings and errors of PostgreSQL. Runs no statements.
 */
import type { BoundUtility, TransactionModes } from '../bind/bound.ts';
import type { DatabaseCatalog } from '../catalog/database-catalog.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import type { AfterChange } from '../ddl/after-change.ts';
import type { KvDatabase } from '../kv-transaction.ts';
import type { StorageClaims } from '../loading/storage-claims.ts';
import type { ImplicitKind, Notice, TransactionScope, TransactionStatus } from '../session-api.ts';
import type { SettingChange, Settings } from '../settings.ts';
import { SqlError } from '../sql-error.ts';
import type { TableStore } from '../storage/table-store.ts';
import { OpenTransaction } from './open-transaction.ts';

type State =
  | { readonly kind: 'idle' }
  /** Around several statements, none of which has said BEGIN. */
  | { readonly kind: 'implicit'; readonly of: ImplicitKind; readonly transaction: OpenTransaction }
  | { readonly kind: 'block'; readonly transaction: OpenTransaction }
  /** A statement of the block has failed. */
  | { readonly kind: 'failed'; readonly transaction: OpenTransaction };

export type TransactionControl = Extract<
  BoundUtility,
  {
    kind:
      | 'begin'
      | 'commit'
      | 'rollback'
      | 'savepoint'
      | 'release'
      | 'rollback-to'
      | 'set-transaction'
      | 'set-characteristics';
  }
>;

export interface SessionTransactionOptions {
  readonly database: KvDatabase;
  /** The database's transactions are a caller's, who may read in them before the first statement does. */
  readonly shared: boolean;
  readonly catalog: DatabaseCatalog;
  readonly afterChange: AfterChange;
  readonly beginLoad: () => StorageClaims;
  /** As OpenTransactionOptions has it. */
  readonly settle: (transaction: OpenTransaction, signal: AbortSignal | undefined) => Promise<void>;
  readonly settings: Settings;
  /** As flotilla.read_as_of says; undefined: it says nothing. Unit: ms since 1970. */
  readonly readAsOf: () => number | undefined;
  /** It has ended: what belongs to it outlives it, or ends with it. */
  readonly onEnd: (committed: boolean) => void;
  readonly notify: (notice: Notice) => void;
  readonly report: (change: SettingChange) => void;
}

const idle: State = { kind: 'idle' };

export class SessionTransaction {
  private readonly options: SessionTransactionOptions;
  private state: State = idle;
  /** For the words of an error that ended it. */
  private last: OpenTransaction | undefined;

  constructor(options: SessionTransactionOptions) {
    this.options = options;
  }

  get status(): TransactionStatus {
    if (this.state.kind === 'failed') return 'failed';
    return this.state.kind === 'idle' ? 'idle' : 'active';
  }

  /** The open transaction that a statement is to be a part of; undefined: it gets one of its own. Throws 25P02. */
  get open(): OpenTransaction | undefined {
    if (this.state.kind === 'failed') throw failedBlock();
    return this.state.kind === 'idle' ? undefined : this.state.transaction;
  }

  /** The open transaction, also one that has failed. */
  get current(): OpenTransaction | undefined {
    return this.state.kind === 'idle' ? undefined : this.state.transaction;
  }

  get scope(): TransactionScope | undefined {
    return this.state.kind === 'idle' ? undefined : this.state.transaction.scope;
  }

  /** Throws 25P02. */
  requireNotFailed(): void {
    if (this.state.kind === 'failed') throw failedBlock();
  }

  /** What now() is in the open transaction. */
  get startedAt(): bigint | undefined {
    return this.state.kind === 'idle' ? undefined : this.state.transaction.startedAt;
  }

  /** When the simple query began that all present statements came in, if one did. */
  get messageStart(): bigint | undefined {
    const { state } = this;
    return state.kind === 'implicit' && state.of === 'query'
      ? state.transaction.startedAt
      : undefined;
  }

  /** Tables that the transaction that is open, or was last, has inserted into. */
  get insertedInto(): Iterable<TableStore> {
    return this.last?.insertedInto ?? [];
  }

  /** What a statement is now that begins: in the open transaction, or as the defaults say. */
  get modes(): Required<TransactionModes> {
    return this.state.kind === 'idle' ? this.defaults() : this.state.transaction.modes;
  }

  /** Whether SET LOCAL and the like have something to last for. */
  private get inBlock(): boolean {
    const { state } = this;
    return state.kind === 'implicit' ? state.of === 'query' : state.kind !== 'idle';
  }

  /** The settings that belong to a transaction, as SHOW prints them; undefined for all others. */
  setting(name: string): string | undefined {
    switch (name.toLowerCase()) {
      case 'transaction_isolation':
        return this.modes.isolation;
      case 'transaction_read_only':
        return this.modes.readOnly ? 'on' : 'off';
      case 'transaction_deferrable':
        return this.modes.deferrable ? 'on' : 'off';
      default:
        return undefined;
    }
  }

  /** @param now the start of the statement that comes next */
  beginImplicit(of: ImplicitKind, now: bigint): void {
    if (this.state.kind !== 'idle') return;
    this.state = { kind: 'implicit', of, transaction: this.begin(now) };
  }

  /** Rejects with what COMMIT throws. @returns undefined: there is nothing to wait for */
  endImplicit(commit: boolean): Promise<void> | undefined {
    if (this.state.kind !== 'implicit') return undefined;
    if (commit) return this.commit(this.state.transaction);
    this.rollback(this.state.transaction);
    return undefined;
  }

  /** An error was reported: an implicit transaction is rolled back, a block has failed. */
  fail(error: unknown): void {
    const { state } = this;
    if (state.kind === 'idle' || state.kind === 'failed') return;
    state.transaction.noteFailure(error);
    if (state.kind === 'implicit') this.rollback(state.transaction);
    else this.state = { kind: 'failed', transaction: state.transaction };
  }

  close(): void {
    if (this.state.kind !== 'idle') this.rollback(this.state.transaction);
  }

  /** The catalog as the open transaction has changed it; undefined: it has not. */
  get provisionalCatalog(): CatalogSnapshot | undefined {
    return this.state.kind === 'idle' ? undefined : this.state.transaction.provisionalCatalog;
  }

  /** Throws 25001. @param what `VACUUM` */
  requireNoBlock(what: string): void {
    if (this.state.kind === 'implicit' && this.state.of === 'pipeline')
      throw new SqlError('25001', `${what} cannot be executed within a pipeline`);
    if (this.state.kind !== 'idle')
      throw new SqlError('25001', `${what} cannot run inside a transaction block`);
  }

  /** Throws 25P01. @param what `DECLARE CURSOR` */
  requireBlock(what: string): void {
    if (!this.inBlock)
      throw new SqlError('25P01', `${what} can only be used in transaction blocks`);
  }

  /** @returns whether it has an effect. Warns if not. @param what `SET LOCAL` */
  warnUnlessInBlock(what: string): boolean {
    if (!this.inBlock) this.warn('25P01', `${what} can only be used in transaction blocks`);
    return this.state.kind !== 'idle';
  }

  /** @returns the command tag */
  async control(statement: TransactionControl, now: bigint, signal?: AbortSignal): Promise<string> {
    switch (statement.kind) {
      case 'begin':
        this.beginBlock(statement.modes, now);
        return statement.tag;
      case 'commit':
      case 'rollback':
        return this.endBlock(statement, now, signal);
      case 'savepoint': {
        const { settings } = this.options;
        this.openBlock('SAVEPOINT').savepoint(statement.name, settings.snapshot());
        return 'SAVEPOINT';
      }
      case 'release':
        this.openBlock('RELEASE SAVEPOINT').release(statement.name);
        return 'RELEASE';
      case 'rollback-to':
        this.rollbackTo(statement.name);
        return 'ROLLBACK';
      case 'set-transaction':
        this.setTransaction(statement.modes);
        return 'SET';
      case 'set-characteristics':
        this.setCharacteristics(statement.modes);
        return 'SET';
    }
  }

  /** SET TRANSACTION, and SET of a setting that belongs to the transaction. @param silent nobody is warned */
  setTransaction(modes: TransactionModes, silent = false): void {
    const effect = silent ? this.state.kind !== 'idle' : this.warnUnlessInBlock('SET TRANSACTION');
    const checked = this.checked(modes);
    if (effect) this.open?.setModes(checked);
  }

  private beginBlock(modes: TransactionModes, now: bigint): void {
    const { state } = this;
    const checked = this.checked(modes);
    switch (state.kind) {
      case 'failed':
        throw failedBlock();
      case 'block':
        this.warn('25001', 'there is already a transaction in progress');
        break;
      case 'implicit':
        this.state = { kind: 'block', transaction: state.transaction };
        break;
      case 'idle':
        this.state = { kind: 'block', transaction: this.begin(now) };
    }
    this.open?.setModes(checked);
  }

  private async endBlock(
    { kind, chain }: Extract<TransactionControl, { kind: 'commit' | 'rollback' }>,
    now: bigint,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const { state } = this;
    const word = kind === 'commit' ? 'COMMIT' : 'ROLLBACK';
    if (state.kind === 'idle' || state.kind === 'implicit') {
      if (chain)
        throw new SqlError('25P01', `${word} AND CHAIN can only be used in transaction blocks`);
      this.warn('25P01', 'there is no transaction in progress');
      if (state.kind === 'implicit') await this.endImplicit(kind === 'commit');
      return word;
    }
    const { transaction } = state;
    const commit = kind === 'commit' && state.kind === 'block';
    if (commit) await this.commit(transaction, signal);
    else this.rollback(transaction);
    if (chain) this.state = { kind: 'block', transaction: this.begin(now, transaction.modes) };
    return commit ? 'COMMIT' : 'ROLLBACK';
  }

  private rollbackTo(name: string): void {
    const transaction = this.blockOf('ROLLBACK TO SAVEPOINT');
    const settings = transaction.rollbackTo(name);
    for (const change of this.options.settings.restore(settings)) this.options.report(change);
    this.state = { kind: 'block', transaction };
  }

  private setCharacteristics(modes: TransactionModes): void {
    const { isolation, readOnly, deferrable } = this.checked(modes);
    const set = (name: string, value: string) => {
      for (const change of this.options.settings.set(name, value)) this.options.report(change);
    };
    if (isolation !== undefined) set('default_transaction_isolation', isolation);
    if (readOnly !== undefined) set('default_transaction_read_only', readOnly ? 'on' : 'off');
    if (deferrable !== undefined) set('default_transaction_deferrable', deferrable ? 'on' : 'off');
  }

  /** Throws 22023 for an isolation level that there is not. */
  private checked(modes: TransactionModes): TransactionModes {
    const { isolation } = modes;
    if (isolation === undefined) return modes;
    return {
      ...modes,
      isolation: this.options.settings.check('transaction_isolation', isolation),
    };
  }

  private begin(now: bigint, modes: Required<TransactionModes> = this.defaults()): OpenTransaction {
    const { database, shared, catalog, afterChange, beginLoad, settings, settle } = this.options;
    return new OpenTransaction({
      database,
      catalog,
      catalogBefore: shared ? catalog.snapshot : undefined,
      afterChange,
      beginLoad,
      settle,
      startedAt: now,
      modes,
      asOf: shared ? undefined : this.options.readAsOf(),
      settings: settings.snapshot(),
    });
  }

  private defaults(): Required<TransactionModes> {
    const { settings, shared } = this.options;
    const { defaultModes, readAsOf } = settings;
    return shared || readAsOf === '' ? defaultModes : { ...defaultModes, readOnly: true };
  }

  private async commit(transaction: OpenTransaction, signal?: AbortSignal): Promise<void> {
    const { settings, report } = this.options;
    this.last = transaction;
    try {
      await transaction.commit(signal);
    } catch (error) {
      this.rollback(transaction);
      throw error;
    }
    this.state = idle;
    this.options.onEnd(true);
    for (const change of settings.endLocal()) report(change);
  }

  private rollback(transaction: OpenTransaction): void {
    const { settings, report } = this.options;
    transaction.rollback();
    this.state = idle;
    this.options.onEnd(false);
    for (const change of settings.restore(transaction.settingsBefore)) report(change);
  }

  /** The block in which a savepoint is made or released. Throws 25P01, 25P02. */
  private openBlock(what: string): OpenTransaction {
    const transaction = this.blockOf(what);
    if (this.state.kind === 'failed') throw failedBlock();
    return transaction;
  }

  /** Throws 25P01. */
  private blockOf(what: string): OpenTransaction {
    const { state } = this;
    if (state.kind === 'idle' || state.kind === 'implicit')
      throw new SqlError('25P01', `${what} can only be used in transaction blocks`);
    return state.transaction;
  }

  private warn(code: string, message: string): void {
    this.options.notify({ severity: 'WARNING', code, message });
  }
}

function failedBlock(): SqlError {
  return new SqlError(
    '25P02',
    'current transaction is aborted, commands ignored until end of transaction block',
  );
}
