/**
 * One open transaction of a session: what it was begun as, its savepoints, results that are still being read, and the
 * key-value transaction below, which begins with the first statement that needs it. Used by session-transaction.ts, which
 * knows when it begins, fails and ends. Retries nothing.
 */
import { DbError } from '@flotilla/base';
import type { TransactionModes } from '../bind/bound.ts';
import type { CatalogDependent } from '../catalog/catalog.ts';
import type { DatabaseCatalog } from '../catalog/database-catalog.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { CatalogEditor, type EditorMark } from '../catalog/editor.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import type { AfterChange } from '../ddl/after-change.ts';
import { Deferral, type DeferralMark } from '../deferred/deferral.ts';
import { isUnknown } from '../kv-errors.ts';
import type { IsolationLevel, KvDatabase, KvTransaction, Savepoint } from '../kv-transaction.ts';
import type { StorageClaims } from '../loading/storage-claims.ts';
import type { TransactionScope } from '../session-api.ts';
import type { SettingsSnapshot } from '../settings.ts';
import { SqlError } from '../sql-error.ts';
import type { TableStore } from '../storage/table-store.ts';
import { dropAtCommit, emptyAtCommit } from '../temporary/on-commit.ts';

/** A result whose rows have not all been read. */
export interface OpenRows {
  /** Takes the rows that are left into memory: what comes next must not show in them. Throws 53200. */
  detach(): Promise<void>;
  /** Gives up the rows that are left. */
  close(): void;
}

/** A transaction or a savepoint of it, as long as nobody has rolled back beyond it. */
class Scope implements TransactionScope {
  private over = false;
  private mergedInto: Scope | undefined;

  get ended(): boolean {
    return this.over || (this.mergedInto?.ended ?? false);
  }

  end(): void {
    this.over = true;
  }

  /** RELEASE: what belongs to the savepoint belongs to what is around it. */
  mergeInto(outer: Scope): void {
    this.mergedInto = outer;
  }
}

interface Level {
  /** Undefined: the transaction as a whole. */
  readonly name: string | undefined;
  readonly settings: SettingsSnapshot;
  readonly readOnly: boolean;
  scope: Scope;
  /** Undefined while the key-value transaction has not begun. */
  kv: Savepoint | undefined;
  /** Undefined while the catalog has not been changed. */
  catalog: EditorMark | undefined;
  /** Undefined: the transaction as a whole. */
  readonly deferral: DeferralMark | undefined;
}

export interface OpenTransactionOptions {
  readonly database: KvDatabase;
  readonly catalog: DatabaseCatalog;
  /** The catalog before the key-value transactions began, where they are a caller's; undefined: they begin here. */
  readonly catalogBefore?: CatalogSnapshot | undefined;
  readonly afterChange: AfterChange;
  readonly beginLoad: () => StorageClaims;
  /** Checks what is deferred: it is about to commit. Throws what is violated, DbError. */
  readonly settle: (transaction: OpenTransaction, signal: AbortSignal | undefined) => Promise<void>;
  /** What now() is. */
  readonly startedAt: bigint;
  readonly modes: Required<TransactionModes>;
  /** It sees the database as it was then, and only reads. Unit: ms since 1970. */
  readonly asOf?: number | undefined;
  /** The settings as they are when it begins. */
  readonly settings: SettingsSnapshot;
}

export class OpenTransaction {
  readonly startedAt: bigint;
  private readonly options: OpenTransactionOptions;
  private readonly database: KvDatabase;
  private editor: CatalogEditor | undefined;
  /** Storage that the transaction alone knows of. Made with the editor. */
  private claims: StorageClaims | undefined;
  /** What was there before the transaction's own changes. */
  private base: CatalogSnapshot | undefined;
  /** The catalog as it was known here before the snapshot was taken that statements read. */
  private before: CatalogSnapshot | undefined;
  private kv: KvTransaction | undefined;
  private current: Required<TransactionModes>;
  private asOf: number | undefined;
  /** A statement has taken a snapshot. */
  private queried = false;
  /** The transaction first; one for each savepoint. */
  private readonly levels: [Level, ...Level[]];
  private readonly rows = new Set<OpenRows>();
  /** Relations by name, as statements so far have found them: id and version. */
  private readonly relations = new Map<string, string>();
  /** Tables that rows were inserted into: to word what the commit may find. */
  readonly insertedInto: Set<TableStore> = new Set();
  /** Constraints that are deferred in it, and what it owes to them. */
  readonly deferral: Deferral = new Deferral();
  /** Tables that checks of deferred constraints have looked at, written to or not. */
  private readonly reliedOn = new Set<TableDescriptor>();
  private broken: DbError | undefined;

  constructor(options: OpenTransactionOptions) {
    this.options = options;
    this.database = options.database;
    this.startedAt = options.startedAt;
    this.current = options.modes;
    this.asOf = options.asOf;
    const { settings, modes } = options;
    const { readOnly } = modes;
    this.levels = [
      {
        name: undefined,
        settings,
        readOnly,
        scope: new Scope(),
        kv: undefined,
        catalog: undefined,
        deferral: undefined,
      },
    ];
  }

  get modes(): Required<TransactionModes> {
    return this.current;
  }

  /** Of the innermost savepoint. */
  get scope(): TransactionScope {
    return this.innermost.scope;
  }

  /** The settings as they were before the transaction. */
  get settingsBefore(): SettingsSnapshot {
    return this.levels[0].settings;
  }

  /** AS OF SYSTEM TIME. Throws 25001 where it is too late for that, 0A000 where the reads are a caller's. */
  readAsOf(asOf: number): void {
    if (this.asOf === asOf) return;
    this.requireUnqueried('AS OF SYSTEM TIME must be said before any query');
    this.requireOutermost('AS OF SYSTEM TIME cannot be said within a subtransaction');
    if (this.options.catalogBefore !== undefined)
      throw new SqlError('0A000', 'AS OF SYSTEM TIME is not supported in this transaction');
    this.asOf = asOf;
    this.current = { ...this.current, readOnly: true };
  }

  /** SET TRANSACTION. Throws 25001 where it is too late for that. */
  setModes(modes: TransactionModes): void {
    const { isolation, readOnly, deferrable } = modes;
    if (isolation !== undefined && isolation !== this.current.isolation) {
      this.requireUnqueried('SET TRANSACTION ISOLATION LEVEL must be called before any query');
      this.requireOutermost(
        'SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction',
      );
    }
    if (readOnly === false && this.asOf !== undefined)
      throw tooLate('cannot set transaction read-write mode in a transaction that reads the past');
    if (readOnly === false && this.current.readOnly) {
      if (this.innermost.readOnly && this.levels.length > 1)
        throw tooLate('cannot set transaction read-write mode inside a read-only transaction');
      this.requireUnqueried('transaction read-write mode must be set before any query');
    }
    if (deferrable !== undefined) {
      this.requireOutermost(
        'SET TRANSACTION [NOT] DEFERRABLE cannot be called within a subtransaction',
      );
      this.requireUnqueried('SET TRANSACTION [NOT] DEFERRABLE must be called before any query');
    }
    this.current = {
      isolation: isolation ?? this.current.isolation,
      readOnly: readOnly ?? this.current.readOnly,
      deferrable: deferrable ?? this.current.deferrable,
    };
  }

  /**
   * A statement that reads or writes begins. Results that are half read are finished first.
   * Throws 40001 after a conflict that the transaction cannot be saved from.
   */
  async beginStatement(): Promise<KvTransaction> {
    for (const rows of [...this.rows]) await rows.detach();
    this.rows.clear();
    if (this.broken !== undefined) throw this.broken;
    this.queried = true;
    if (this.kv === undefined) {
      const isolation = kvIsolation(this.current.isolation);
      const { asOf } = this;
      const modes = { readOnly: this.current.readOnly, isolation };
      this.kv = this.database.begin(asOf === undefined ? modes : { ...modes, asOf });
      for (const level of this.levels) level.kv = this.kv.savepoint();
      this.before ??= this.options.catalogBefore ?? this.options.catalog.snapshot;
    } else if (kvIsolation(this.current.isolation) === 'read committed')
      this.before = this.options.catalog.snapshot;
    this.kv.beginStatement();
    return this.kv;
  }

  /** A result of this transaction is being read. */
  addRows(rows: OpenRows): void {
    this.rows.add(rows);
  }

  /** Its rows have ended. */
  removeRows(rows: OpenRows): void {
    this.rows.delete(rows);
  }

  /** The catalog as this transaction has changed it. */
  get provisionalCatalog(): CatalogSnapshot | undefined {
    return this.editor?.changed === true ? this.editor.snapshot : undefined;
  }

  /** A DDL statement begins: where it leaves its changes. Errors: those of `beginStatement`. */
  async beginDdl(): Promise<{
    readonly editor: CatalogEditor;
    readonly transaction: KvTransaction;
    readonly claims: StorageClaims;
  }> {
    const transaction = await this.beginStatement();
    if (this.editor === undefined) {
      this.base = await this.options.catalog.loadNewest();
      this.editor = new CatalogEditor(this.base);
      for (const level of this.levels) level.catalog = this.editor.mark();
    }
    this.claims ??= this.options.beginLoad();
    return { editor: this.editor, transaction, claims: this.claims };
  }

  /**
   * Whether all entries of an index are in the snapshot that statements read: it was known here before that was taken, or
   * this transaction has made it. Of an index that came later the snapshot has only what was written since.
   */
  seesIndex(table: TableDescriptor, indexNumber: number): boolean {
    // Of the past nobody remembers which there were.
    if (this.asOf !== undefined) return false;
    const has = (catalog: CatalogSnapshot) =>
      catalog.table(table.id)?.indexes.some(({ number }) => number === indexNumber) === true;
    const { catalog, catalogBefore } = this.options;
    const known = this.before ?? catalogBefore ?? catalog.snapshot;
    return has(known) || (this.base !== undefined && !has(this.base));
  }

  /** Throws 40001 where a name no longer means the relation that it meant to an earlier statement. */
  useRelations({ dependencies, provisional }: CatalogDependent): void {
    // The catalog as a whole is checked at commit then.
    if (provisional !== undefined) return;
    for (const { relation } of dependencies) {
      const { schema, name, id, version } = relation;
      const key = `${schema}\0${name}`;
      const now = `${id}/${version}`;
      const before = this.relations.get(key);
      if (before === undefined) this.relations.set(key, now);
      else if (before !== now)
        throw new SqlError('40001', `table "${name}" was changed or dropped by another session`);
    }
  }

  /** Takes note of an error of a statement: some leave nothing to go on with. */
  noteFailure(error: unknown): void {
    if (!(error instanceof DbError) || this.broken !== undefined) return;
    const { code } = error;
    if (code === 'DEADLOCK' || (code === 'CONFLICT' && this.kv?.restartable !== true))
      this.broken = error;
  }

  savepoint(name: string, settings: SettingsSnapshot): void {
    const { readOnly } = this.current;
    const kv = this.kv?.savepoint();
    const catalog = this.editor?.mark();
    const deferral = this.deferral.mark();
    this.levels.push({ name, settings, readOnly, scope: new Scope(), kv, catalog, deferral });
  }

  /** Throws 3B001. */
  release(name: string): void {
    const at = this.find(name);
    const [level] = this.levels.slice(at);
    const outer = this.levels[at - 1] ?? this.levels[0];
    for (const { scope } of this.levels.splice(at)) scope.mergeInto(outer.scope);
    if (level?.kv !== undefined) this.kv?.release(level.kv);
  }

  /** The savepoint stays. @returns the settings as they were. Throws 3B001. */
  rollbackTo(name: string): SettingsSnapshot {
    const at = this.find(name);
    const undone = this.levels.splice(at + 1);
    const level = this.innermost;
    for (const { scope } of undone) scope.end();
    level.scope.end();
    level.scope = new Scope();
    this.current = { ...this.current, readOnly: level.readOnly };
    if (level.kv !== undefined) this.kv?.rollbackTo(level.kv);
    if (level.catalog !== undefined) this.editor?.restore(level.catalog);
    if (level.deferral !== undefined) this.deferral.restore(level.deferral);
    return level.settings;
  }

  /** What a statement has written to new storage leaves memory if it is much. Throws DbError. */
  async relieve(signal: AbortSignal | undefined): Promise<void> {
    if (this.kv !== undefined) await this.claims?.relieve(this.kv, signal);
  }

  /** A statement has written to these tables. */
  noteWrites(stores: readonly TableStore[]): void {
    for (const store of stores) this.insertedInto.add(store);
  }

  /** What has been checked is so by these tables alone. */
  relyOn(tables: Iterable<TableDescriptor>): void {
    for (const table of tables) this.reliedOn.add(table);
  }

  /**
   * Rows were written as the tables were then: with entries in the indexes of then, and judged by the constraints of then.
   * Throws 40001 where they are others now.
   */
  private checkWrittenTables(snapshot: CatalogSnapshot): void {
    for (const table of [...this.writtenTables(), ...this.reliedOn]) {
      // As the transaction itself has made it: nobody else has.
      if (table.version > snapshot.version) continue;
      if (snapshot.table(table.id)?.version === table.version) continue;
      throw new SqlError(
        '40001',
        `table "${table.name}" was changed or dropped by another session`,
      );
    }
  }

  /** Throws SqlError, DbError; the transaction is over in any case. */
  async commit(signal?: AbortSignal): Promise<void> {
    this.endRows();
    if (this.broken !== undefined) {
      this.rollback();
      throw this.broken;
    }
    await this.options.settle(this, signal);
    const { kv, editor } = this;
    if (kv === undefined) return;
    const { catalog, afterChange } = this.options;
    await emptyAtCommit(this.writtenTables(), kv);
    if (editor !== undefined) dropAtCommit(editor);
    if (editor?.changed === true) {
      if (this.base !== undefined) this.checkWrittenTables(this.base);
      await this.claims?.settle(kv, editor, signal);
      try {
        await catalog.change(editor, kv);
      } catch (error) {
        // Whether its storage is in use is found out by those who look for what was left behind.
        if (isUnknown(error)) this.claims = undefined;
        throw error;
      }
      this.claims?.committed();
      await afterChange(editor);
      return;
    }
    // What is a caller's own in it rests on no table.
    if (this.insertedInto.size === 0) return kv.commit();
    const { version, grant } = await catalog.pin(kv);
    this.checkWrittenTables(await catalog.load(version));
    await catalog.commit(kv, grant);
  }

  private writtenTables(): Set<TableDescriptor> {
    const tables = new Set<TableDescriptor>();
    for (const { table } of this.insertedInto) tables.add(table);
    return tables;
  }

  rollback(): void {
    this.endRows();
    this.kv?.rollback();
    this.claims?.rolledBack();
  }

  private get innermost(): Level {
    return this.levels[this.levels.length - 1] ?? this.levels[0];
  }

  private endRows(): void {
    for (const { scope } of this.levels) scope.end();
    for (const rows of this.rows) rows.close();
    this.rows.clear();
  }

  private find(name: string): number {
    const at = this.levels.findLastIndex((level) => level.name === name);
    if (at < 0) throw new SqlError('3B001', `savepoint "${name}" does not exist`);
    return at;
  }

  private requireUnqueried(message: string): void {
    if (this.queried) throw tooLate(message);
  }

  private requireOutermost(message: string): void {
    if (this.levels.length > 1) throw tooLate(message);
  }
}

function tooLate(message: string): SqlError {
  return new SqlError('25001', message);
}

/** READ UNCOMMITTED is READ COMMITTED, as in PostgreSQL. */
export function kvIsolation(name: string): IsolationLevel {
  switch (name) {
    case 'serializable':
    case 'repeatable read':
      return name;
    default:
      return 'read committed';
  }
}
