/**
 * What one session is: who its user is, its settings, its transaction, and the catalog as it sees it. The session and those
 * who run its statements share it; it runs none itself.
 */
import { SessionAdvisoryLocks } from '../advisory/session-advisory-locks.ts';
import type { BackendAccess, CatalogAccess } from '../catalog/catalog-access.ts';
import { DatabaseCatalog } from '../catalog/database-catalog.ts';
import { parseSearchPath } from '../catalog/search-path.ts';
import { SessionSequences } from '../catalog/session-sequences.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { isTemporarySchema } from '../catalog/temporary-schema.ts';
import { OutsideWork, sleepFor } from '../cluster/outside-work.ts';
import { SessionCursors } from '../cursors/session-cursors.ts';
import { type AfterChange, afterChange } from '../ddl/after-change.ts';
import { SessionConstraints } from '../deferred/session-constraints.ts';
import { SessionStatements } from '../named-statements.ts';
import { channelName, SessionNotifications } from '../notifications/session-notifications.ts';
import type { Statement } from '../parse/parser.ts';
import type { IndexTest } from '../plan/choose-path.ts';
import type { PreparedPlan } from '../plan/plan.ts';
import { holdsOnSchema } from '../roles/access.ts';
import { type Authority, authorityOf } from '../roles/authority.ts';
import type { Datum, Notice, Oid } from '../session-api.ts';
import { type SettingChange, Settings } from '../settings.ts';
import { SqlError } from '../sql-error.ts';
import { SessionTemporary } from '../temporary/session-temporary.ts';
import {
  followerReadTimeOf,
  type ReadClock,
  readAsOf,
  readAsOfAtMost,
  seenMsOf,
} from '../transaction/read-as-of.ts';
import { SessionTransaction } from '../transaction/session-transaction.ts';
import type { TextContext } from '../types/codec.ts';
import { timestampFromUnixMs } from '../types/timestamp.ts';
import { SessionEvaluation } from './evaluation.ts';
import { SessionCatalog } from './session-catalog.ts';
import type { SessionOptions, SessionShared } from './session-options.ts';
import { SessionText } from './session-text.ts';

interface PathRead {
  readonly setting: string;
  readonly user: string;
  readonly temporary: string | undefined;
  readonly snapshot: CatalogSnapshot;
  readonly path: readonly string[];
}

interface AuthorityRead {
  readonly snapshot: CatalogSnapshot;
  readonly authority: Authority;
}

export class SessionContext {
  readonly options: SessionOptions;
  readonly settings: Settings;
  readonly statements: SessionStatements;
  readonly advisory: SessionAdvisoryLocks;
  readonly notifications: SessionNotifications;
  readonly cursors: SessionCursors = new SessionCursors();
  readonly shared: SessionShared;
  readonly catalog: DatabaseCatalog;
  readonly transaction: SessionTransaction;
  /** The user, where nobody has asked who he is. */
  readonly trusted: string | undefined;
  readonly afterChange: AfterChange;
  readonly sequences: SessionSequences;
  readonly temporary: SessionTemporary;
  readonly constraints: SessionConstraints = new SessionConstraints(this);
  private readonly textContext: SessionText = new SessionText(this);
  /** search_path as it was read last, and what it was read from. */
  private pathRead: PathRead | undefined;
  /** As it was asked for last. */
  private authorityRead: AuthorityRead | undefined;

  constructor(shared: SessionShared, options: SessionOptions) {
    this.shared = shared;
    this.statements = new SessionStatements(() => this.clockTime());
    this.sequences = new SessionSequences(shared.sequences);
    this.temporary = new SessionTemporary(shared.temporary);
    this.options = options;
    const { database: name, databaseOid: oid } = options;
    this.catalog = new DatabaseCatalog(shared.catalog, { name, oid });
    this.trusted = options.authenticated === true ? undefined : options.user;
    this.settings = new Settings({
      user: options.user,
      applicationName: options.applicationName ?? '',
      isSuperuser: (user) => this.catalogAccess().authorityOf(user).superuser,
    });
    for (const [name, value] of Object.entries(options.settings ?? {}))
      try {
        this.settings.begin(name, value);
      } catch (error) {
        shared.logger.warn(
          { user: options.user, name, error: String(error) },
          'sql_setting_refused',
        );
      }
    this.advisory = new SessionAdvisoryLocks({
      locks: shared.advisory,
      clock: shared.clock,
      logger: shared.logger,
      processId: this.processId,
      notify: (notice) => this.notify(notice),
      limitMs: () => this.settings.lockTimeoutMs,
      onLost: () => options.events?.onTerminate?.(locksLost()),
      database: () => this.catalog.id,
    });
    this.afterChange = afterChange({
      dropped: shared.dropped,
      cluster: shared.cluster,
      logger: shared.logger,
      onNotice: (notice) => this.notify(notice),
    });
    this.notifications = new SessionNotifications({
      hub: shared.notifications,
      channelName: (channel) => channelName(channel, this.catalog.id),
      processId: this.processId,
      deliver: (notification) => options.events?.onNotification?.(notification),
      scope: () => this.transaction.scope,
    });
    this.transaction = new SessionTransaction({
      database: options.transactions ?? shared.database,
      shared: options.transactions !== undefined,
      catalog: this.catalog,
      afterChange: this.afterChange,
      beginLoad: () => shared.loading.begin(),
      settle: (transaction, signal) => this.constraints.settle(transaction, signal),
      settings: this.settings,
      readAsOf: () => this.settingAsOf(),
      onEnd: (committed) => {
        if (committed) this.cursors.committed();
        this.advisory.endTransaction();
        this.notifications.end(committed);
      },
      notify: (notice) => this.notify(notice),
      report: (change) => this.report(change),
    });
  }

  /** A statement has ended: one that stood alone was a transaction. */
  statementEnded(): void {
    const { advisory, notifications } = this;
    if (!advisory.holdsForTransaction && !notifications.isPending) return;
    if (this.transaction.status !== 'idle') return;
    advisory.endTransaction();
    notifications.end(true);
  }

  /** A statement has failed: what it has said, if it stood alone, it has not. */
  statementFailed(): void {
    if (this.notifications.isPending && this.transaction.status === 'idle')
      this.notifications.end(false);
  }

  /**
   * Resolves when what the end of a transaction means to others has come about. Throws DbError.
   * @returns undefined: it has
   */
  settled(): Promise<void> | undefined {
    const { advisory, notifications } = this;
    const releasing = advisory.settled();
    return releasing === undefined
      ? notifications.settled()
      : releasing.then(() => notifications.settled());
  }

  private get processId(): number {
    return this.options.client?.processId ?? process.pid;
  }

  /** `now()` is the transaction's start, and that of a statement by itself the statement's. */
  evaluation(parameters: readonly Datum[]): SessionEvaluation {
    const { messageStart, startedAt } = this.transaction;
    const times = { messageStart, startedAt, wallMs: this.shared.clock.wallMs() };
    return new SessionEvaluation(this, times, parameters);
  }

  /** A plan by the catalog as this session sees it now. */
  prepareHere(
    statement: Statement,
    declared: readonly Oid[],
    usable: IndexTest | undefined = this.usableIndexes(),
  ): Promise<PreparedPlan> {
    return this.shared.preparer.prepare(statement, declared, this.evaluation([]), {
      database: this.catalog,
      searchPath: this.searchPath,
      provisional: this.transaction.provisionalCatalog,
      usable,
    });
  }

  /** Which indexes the open transaction may read. */
  usableIndexes(): IndexTest | undefined {
    const { current: open } = this.transaction;
    return (
      open &&
      ((table, indexNumber) =>
        open.seesIndex(table, indexNumber) && !open.deferral.checks.isBehind(indexNumber))
    );
  }

  get searchPath(): readonly string[] {
    const { settings, snapshot, pathRead } = this;
    const setting = settings.get('search_path') ?? '';
    const { user } = settings;
    const temporary = this.temporary.schema;
    if (
      pathRead?.setting === setting &&
      pathRead.user === user &&
      pathRead.snapshot === snapshot &&
      pathRead.temporary === temporary
    )
      return pathRead.path;
    const { authority } = this;
    const all = parseSearchPath(setting, user).filter((schema) => !isTemporarySchema(schema));
    // Whoever may not look into a schema does not see what is there.
    const visible = authority.superuser
      ? all
      : all.filter((schema) => holdsOnSchema(snapshot, authority, schema, 'U'));
    const path = temporary === undefined ? visible : [temporary, ...visible];
    this.pathRead = { setting, user, temporary, snapshot, path };
    return path;
  }

  /** The catalog as the session sees it now. */
  get snapshot(): CatalogSnapshot {
    return this.transaction.provisionalCatalog ?? this.catalog.snapshot;
  }

  /** What the present user may do. */
  get authority(): Authority {
    const { snapshot, authorityRead: read } = this;
    const { user } = this.settings;
    if (read?.snapshot === snapshot && read.authority.user === user) return read.authority;
    const authority = this.authorityOf(user);
    this.authorityRead = { snapshot, authority };
    return authority;
  }

  authorityOf(role: string): Authority {
    return authorityOf(this.snapshot, { user: role, trusted: this.trusted });
  }

  /** For one run of a statement. */
  catalogAccess(): CatalogAccess {
    return new SessionCatalog(this);
  }

  /** For one run of a statement. */
  backend(): BackendAccess {
    const { shared } = this;
    return {
      cluster: shared.cluster,
      processId: this.processId,
      advisory: this.advisory,
      advisoryLocks: () => shared.advisory.list(),
      droppedStorage: () => shared.dropped.list(),
      startedAt: shared.startedAt,
      sessions: () => shared.allSessions.all(),
      signal: (processId, kind) => shared.allSessions.signal(processId, kind),
      notifications: this.notifications,
      notice: (notice) => this.notify(notice),
      cursors: () => this.cursors.all(),
      statements: () => this.statements.all(),
      setSetting: (name, value, local) => this.setSetting(name, value, local),
      sleep: (ms, signal) => sleepFor(shared.clock, ms, signal),
      followerReadTime: () => timestampFromUnixMs(followerReadTimeOf(this.readClock())),
      sessionToken: () => String(shared.database.now()),
      work: new OutsideWork(),
    };
  }

  /** As SHOW prints it. */
  setting(name: string): string | undefined {
    if (name.toLowerCase() === 'is_superuser')
      return this.catalogAccess().authority.superuser ? 'on' : 'off';
    return this.transaction.setting(name) ?? this.settings.get(name);
  }

  /** set_config(): SET, or SET LOCAL, from within a statement. */
  private setSetting(name: string, value: string | null, local: boolean): string {
    if (/^transaction_/i.test(name))
      throw new SqlError('0A000', `set_config of "${name}" is not supported`);
    // A statement by itself is a transaction that ends with it.
    if (local && this.transaction.status === 'idle')
      return value === null ? (this.setting(name) ?? '') : this.settings.check(name, value);
    for (const change of this.settings.set(name, value ?? undefined, local)) this.report(change);
    return this.setting(name) ?? '';
  }

  /** Microseconds since 2000, now. */
  clockTime(): bigint {
    return timestampFromUnixMs(this.shared.clock.wallMs());
  }

  /** @param asOf undefined: as the setting says. @returns ms since 1970; undefined: now. Throws 22007, 22023. */
  timeOf(asOf: string | undefined): number | undefined {
    if (asOf === undefined) return this.settingAsOf();
    return readAsOf(asOf, this.text(), this.readClock());
  }

  private settingAsOf(): number | undefined {
    const { readAsOf: asOf } = this.settings;
    if (asOf === '') return undefined;
    return readAsOfAtMost(asOf, this.text(), this.readClock());
  }

  private readClock(): ReadClock {
    const { clock, database } = this.shared;
    return {
      nowMs: clock.wallMs(),
      followerReadLagMs: database.followerReadLagMs ?? 0,
      seenMs: seenMsOf(this.settings.get('flotilla.session_token') ?? ''),
    };
  }

  text(): TextContext {
    return this.textContext;
  }

  notify(notice: Notice): void {
    this.options.events?.onNotice?.(notice);
  }

  report(change: SettingChange): void {
    this.options.events?.onParameterStatus?.(change.name, change.value);
  }
}

function locksLost(): SqlError {
  return new SqlError(
    '57P01',
    'terminating connection because its advisory locks may have been given to others',
    { detail: 'The cluster could not be reached for some seconds.' },
  );
}
