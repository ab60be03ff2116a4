/** One user's session: settings, and the way of a statement from text to result. Implements `SqlSession`. */
import type { Clock, Logger, Prng } from '@flotilla/base';
import type { CopyStmt, ExecuteStmt, Node } from 'libpg-query';
import type { Catalog } from './catalog/catalog.ts';
import type { CatalogAccess } from './catalog/catalog-access.ts';
import type { CatalogIds } from './catalog/ids.ts';
import { NameResolver } from './catalog/name-resolver.ts';
import type { SettingValues } from './catalog/role.ts';
import { parseSearchPath } from './catalog/search-path.ts';
import type { Sequences } from './catalog/sequences.ts';
import { sessionNames } from './catalog/session-names.ts';
import { SessionSequences } from './catalog/session-sequences.ts';
import type { CatalogSnapshot } from './catalog/snapshot.ts';
import type { ClusterInspector } from './cluster/cluster-inspector.ts';
import { OutsideWork, sleepFor } from './cluster/outside-work.ts';
import { SessionActivity } from './cluster/session-activity.ts';
import type { SessionClient, SessionRegistry } from './cluster/session-facts.ts';
import { CopyCommand, checkCopy, copyInsert, copyOf, copyQuery } from './copy/copy-command.ts';
import { copyIn } from './copy/copy-in.ts';
import { CopyWriter } from './copy/copy-writer.ts';
import { ddlTag } from './ddl/ddl-tag.ts';
import { normalizeParameter } from './execute/parameter.ts';
import { Recorder } from './execute/recorder.ts';
import {
  emptyResult,
  HeldRows,
  listResult,
  type StreamOptions,
  streamResult,
} from './execute/result.ts';
import { Pace } from './execute/run.ts';
import {
  duplicateIn,
  type Prepared,
  type Runner,
  type Statement as Running,
} from './execute/runner.ts';
import { runUtility } from './execute/utility.ts';
import { isKeyExists } from './execute/write.ts';
import { argumentsQuery, Execution, executeOf } from './execute-statement.ts';
import type { EvalContext } from './functions/signature.ts';
import { statementError, toSqlError } from './kv-errors.ts';
import type { KvDatabase } from './kv-transaction.ts';
import { SessionStatements } from './named-statements.ts';
import type { Parser, Statement } from './parse/parser.ts';
import { SourceText } from './parse/position.ts';
import type { IndexTest } from './plan/choose-path.ts';
import { explainLines } from './plan/explain-node.ts';
import type { ExplainPlan, PreparedPlan, SelectPlan, WritePlan } from './plan/plan.ts';
import { mayRead, type Preparer } from './prepare.ts';
import { checkNeeds, holdsOnSchema } from './roles/access.ts';
import { type Authority, authorityOf } from './roles/authority.ts';
import type {
  ColumnDescription,
  CopySource,
  Datum,
  ImplicitKind,
  NamedStatements,
  Notice,
  Oid,
  ParsedStatement,
  PreparedStatement,
  SqlSession,
  SqlSessionEvents,
  StatementResult,
  TransactionScope,
  TransactionStatus,
} from './session-api.ts';
import { type SettingChange, Settings } from './settings.ts';
import { SqlError } from './sql-error.ts';
import { kvIsolation } from './transaction/open-transaction.ts';
import { readAsOf, readAsOfAtMost } from './transaction/read-as-of.ts';
import { SessionTransaction, type TransactionControl } from './transaction/session-transaction.ts';
import type { TextContext } from './types/codec.ts';
import { timestampFromUnixMs } from './types/timestamp.ts';
import { type SqlType, typeByOid } from './types/type.ts';
import { decodeValue, encodeValue } from './types/wire-codec.ts';

export interface SessionOptions {
  readonly user: string;
  readonly database: string;
  readonly applicationName?: string;
  /** Who is at the other end. Absent: nobody that anybody would look for. */
  readonly client?: SessionClient;
  readonly events?: Partial<SqlSessionEvents>;
  /**
   * Whoever has shown that he is `user`: privileges are those of the role of this name. Default: false: a name that no
   * role has may do everything, as befits those who were let in unasked.
   */
  readonly authenticated?: boolean;
  /** Settings that it begins with, from the role and the database. Those that are no good any more are passed over. */
  readonly settings?: SettingValues;
  /** Where the transactions of its blocks come from: a caller's own, shared with what else it does in them. */
  readonly transactions?: KvDatabase;
}

export interface SessionShared {
  readonly database: KvDatabase;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
  readonly catalog: Catalog;
  readonly cluster: ClusterInspector | undefined;
  readonly sessions: SessionRegistry;
  /** Microseconds since 2000. */
  readonly startedAt: bigint;
  readonly ids: CatalogIds;
  readonly sequences: Sequences;
  readonly parser: Parser;
  readonly preparer: Preparer;
  readonly runner: Runner;
}

/** What `prepare` hands out. Its plan is replaced when the catalog changes. */
class Preparation implements PreparedStatement {
  readonly statement: Statement;
  readonly declared: readonly Oid[];
  readonly parameterTypes: readonly Oid[];
  readonly columns: readonly ColumnDescription[] | undefined;
  readonly types: readonly SqlType[];
  readonly endsFailure: boolean;
  readonly readOnly: boolean;
  prepared: PreparedPlan;

  constructor(
    statement: Statement,
    declared: readonly Oid[],
    prepared: PreparedPlan,
    endsFailure: boolean,
  ) {
    this.statement = statement;
    this.endsFailure = endsFailure;
    this.declared = declared;
    this.prepared = prepared;
    this.parameterTypes = prepared.parameterTypes;
    this.columns = prepared.columns;
    this.readOnly = readsOnly(prepared.plan);
    this.types = prepared.parameterTypes.map(requireType);
  }
}

function requireType(oid: Oid): SqlType {
  const type = typeByOid(oid);
  if (type?.supported === true) return type;
  throw new SqlError('0A000', `type with oid ${oid} is not supported yet`);
}

const noArguments: readonly Datum[] = [];

/** Of statements that nobody wrote. */
const noSource = new SourceText('');

/** What expressions see of a session during one run. */
class SessionEvaluation implements EvalContext {
  readonly parameters: readonly Datum[];
  readonly user: string;
  readonly database: string;
  readonly now: bigint;
  readonly statementStart: bigint;
  readonly zone: TextContext['zone'];
  readonly extraFloatDigits: number;
  readonly names: TextContext['names'];
  readonly byteaOutput: 'hex' | 'escape';
  readonly dateOrder: 'MDY' | 'DMY' | 'YMD';
  readonly catalog: CatalogAccess;
  readonly arguments: readonly Datum[] = noArguments;
  readonly root: EvalContext;
  subqueries: EvalContext['subqueries'];
  private readonly session: EngineSession;

  constructor(
    session: EngineSession,
    times: { readonly now: bigint; readonly statementStart: bigint },
    parameters: readonly Datum[],
  ) {
    const { settings, options: who } = session;
    this.session = session;
    this.root = this;
    this.subqueries = undefined;
    this.parameters = parameters;
    this.user = settings.user;
    this.database = who.database;
    this.now = times.now;
    this.statementStart = times.statementStart;
    this.catalog = session.catalogAccess();
    this.names = sessionNames(() => this.catalog.names, settings.user);
    this.zone = settings.zone;
    this.extraFloatDigits = settings.extraFloatDigits;
    this.byteaOutput = settings.byteaOutput;
    this.dateOrder = settings.dateOrder;
  }

  clockTime(): bigint {
    return this.session.clockTime();
  }

  setting(name: string): string | undefined {
    return this.session.setting(name);
  }
}

export class EngineSession implements SqlSession {
  readonly options: SessionOptions;
  readonly settings: Settings;
  readonly statements: NamedStatements = new SessionStatements();
  private readonly shared: SessionShared;
  private readonly transaction: SessionTransaction;
  private readonly sequences: SessionSequences;
  private readonly trusted: string | undefined;
  private readonly activity: SessionActivity;

  constructor(shared: SessionShared, options: SessionOptions) {
    this.shared = shared;
    this.sequences = new SessionSequences(shared.sequences);
    this.options = options;
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
    this.transaction = new SessionTransaction({
      database: options.transactions ?? shared.database,
      shared: options.transactions !== undefined,
      catalog: shared.catalog,
      logger: shared.logger,
      settings: this.settings,
      readAsOf: () => this.settingAsOf(),
      notify: (notice) => this.notify(notice),
      report: (change) => this.report(change),
    });
    this.activity = new SessionActivity(options, {
      nowMs: () => shared.clock.wallMs(),
      status: () => this.transaction.status,
      transactionStartedAt: () => this.transaction.startedAt,
      applicationName: () => this.settings.get('application_name') ?? '',
    });
    if (options.client !== undefined) shared.sessions.add(this.activity);
  }

  parse(text: string): readonly ParsedStatement[] {
    try {
      return this.shared.parser.parse(text);
    } catch (error) {
      this.transaction.fail(error);
      throw error;
    }
  }

  async prepare(
    statement: ParsedStatement,
    parameterTypes: readonly Oid[],
  ): Promise<PreparedStatement> {
    const own = statement as Statement;
    try {
      const endsFailure = isFailureEnd(own);
      if (!endsFailure) this.transaction.requireNotFailed();
      const copy = copyOf(own);
      if (copy !== undefined) return await this.prepareCopy(own, copy);
      const execute = executeOf(own);
      if (execute !== undefined) return await this.prepareExecute(own, execute, parameterTypes);
      const plan = await this.prepareHere(own, parameterTypes);
      return new Preparation(own, parameterTypes, plan, endsFailure);
    } catch (error) {
      this.transaction.fail(error);
      throw toSqlError(error);
    }
  }

  async execute(
    prepared: PreparedStatement,
    parameters: readonly Datum[],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<StatementResult> {
    if (prepared instanceof Execution) return this.runExecution(prepared, parameters, options);
    if (prepared instanceof CopyCommand) {
      this.transaction.requireNotFailed();
      return prepared.copiesIn
        ? this.copyFrom(prepared, options.signal)
        : this.copyTo(prepared, options.signal);
    }
    if (!(prepared instanceof Preparation))
      throw new SqlError('XX000', 'the statement was not prepared by this engine');
    const { signal, end } = this.deadline(options.signal, prepared.statement.text);
    const onError = (error: unknown): unknown => {
      end();
      this.transaction.fail(error);
      return statementError(error, signal);
    };
    try {
      if (parameters.length !== prepared.types.length)
        throw new SqlError(
          '08P01',
          `${parameters.length} parameters were given, but the statement requires ${prepared.types.length}`,
        );
      const result = await this.run(prepared, parameters, { signal, onEnd: end, onError });
      if (prepared.prepared.plan.kind !== 'select') end();
      return result;
    } catch (error) {
      throw onError(error);
    }
  }

  private async prepareExecute(
    statement: Statement,
    execute: ExecuteStmt,
    parameterTypes: readonly Oid[],
  ): Promise<PreparedStatement> {
    const { prepared } = this.statements.get(execute.name ?? '');
    if (!(prepared instanceof Preparation))
      throw new SqlError('0A000', 'EXECUTE of this prepared statement is not supported');
    const query = argumentsQuery(statement, execute, prepared.parameterTypes);
    const given = query && (await this.prepare(query, parameterTypes));
    return new Execution<PreparedStatement>(prepared, given);
  }

  private async runExecution(
    execution: Execution<PreparedStatement>,
    parameters: readonly Datum[],
    options: { readonly signal?: AbortSignal },
  ): Promise<StatementResult> {
    if (execution.arguments === undefined) return this.execute(execution.target, [], options);
    const given = await this.execute(execution.arguments, parameters, options);
    let values: readonly Datum[] = [];
    for await (const [row] of given.rows ?? []) if (row !== undefined) values = row;
    return this.execute(execution.target, values, options);
  }

  /** Throws what preparing a query of the copied columns, or an INSERT into them, throws. */
  private async prepareCopy(statement: Statement, copy: CopyStmt): Promise<PreparedStatement> {
    const options = checkCopy(copy);
    await this.shared.catalog.loadFirst();
    const prepareTree = (tree: Node): Promise<PreparedStatement> =>
      this.prepare({ text: statement.text, node: { ...statement.node, tree } }, []);
    const query = await prepareTree(copyQuery(copy, this.catalogAccess().names));
    if (query.columns === undefined)
      throw new SqlError('0A000', 'COPY query must have a RETURNING clause');
    return new CopyCommand(copy, options, query);
  }

  private async copyTo(
    { query, options, fields }: CopyCommand,
    signal: AbortSignal | undefined,
  ): Promise<StatementResult> {
    const result = await this.execute(query, [], signal === undefined ? {} : { signal });
    const names = fields.map(({ name }) => name);
    const writer = new CopyWriter(options, names);
    const text = (row: readonly Datum[]): (string | null)[] =>
      fields.map(({ typeOid }, index) => {
        const bytes = this.encode(typeOid, 0, row[index] ?? null);
        return bytes === null ? null : Buffer.from(bytes).toString('utf8');
      });
    let count = 0;
    const lines = async function* (): AsyncGenerator<readonly string[], void, undefined> {
      const header = writer.header();
      if (header !== undefined) yield [header];
      for await (const rows of result.rows ?? []) {
        count += rows.length;
        yield rows.map((row) => writer.line(text(row)));
      }
    };
    const copyOut = { columnCount: names.length, lines: lines() };
    return { ...emptyResult(''), commandTag: () => `COPY ${count}`, copyOut };
  }

  /** All batches lie in one transaction, the open one or one that is made for them. */
  private async copyFrom(
    command: CopyCommand,
    outer: AbortSignal | undefined,
  ): Promise<StatementResult> {
    const { statement: copy, options, fields } = command;
    const names = fields.map(({ name }) => name);
    const types = fields.map(({ typeOid }) => typeOid);
    const table = copy.relation?.relname ?? '';
    const inserts = new Map<number, PreparedStatement>();
    const prepareInsert = async (rows: number): Promise<PreparedStatement> => {
      let insert = inserts.get(rows);
      if (insert === undefined) {
        const tree = copyInsert(copy, names, rows);
        const declared = Array.from({ length: rows }, () => types).flat();
        insert = await this.prepare({ text: '', node: { tree, source: noSource } }, declared);
        inserts.set(rows, insert);
      }
      return insert;
    };
    const own = this.transactionStatus === 'idle';
    let count = 0;
    const load = async (from: CopySource): Promise<void> => {
      const { signal, end } = this.deadline(outer, `COPY ${table} FROM STDIN`);
      const within = signal === undefined ? {} : { signal };
      if (own) this.beginImplicit('query');
      try {
        const target = {
          table,
          columns: fields,
          decode: (typeOid: Oid, text: string): Datum =>
            this.decode(typeOid, 0, Buffer.from(text, 'utf8')),
          insert: async (values: readonly Datum[], rows: number): Promise<void> => {
            await this.execute(await prepareInsert(rows), values, within);
          },
        };
        count = await copyIn(from, options, target, signal);
        if (own) await this.endImplicit({ commit: true });
      } catch (error) {
        this.transaction.fail(error);
        throw statementError(error, signal);
      } finally {
        end();
      }
    };
    // Whatever is wrong with the table is said before the client sends anything.
    const first = await prepareInsert(1);
    if (first instanceof Preparation) this.checkReadOnly(first.prepared.plan);
    const columnCount = names.length;
    return {
      ...emptyResult(''),
      commandTag: () => `COPY ${count}`,
      copyIn: { columnCount, load },
    };
  }

  /** PREPARE. Throws 42P05, 53400 and what binding the statement throws. */
  private async prepareNamed(
    { statement }: Preparation,
    { name, types, query }: Extract<PreparedPlan['plan'], { kind: 'prepare' }>,
  ): Promise<void> {
    this.statements.checkFree(name);
    const { source } = statement.node;
    const prepared = await this.prepare(
      { text: statement.text, node: { tree: query, source } },
      types,
    );
    this.statements.add(name, { prepared, retainedBytes: statement.text.length });
  }

  encode(typeOid: Oid, format: 0 | 1, value: Datum): Uint8Array | null {
    return encodeValue(requireType(typeOid), format, value, this.text());
  }

  decode(typeOid: Oid, format: 0 | 1, bytes: Uint8Array): Datum {
    return decodeValue(requireType(typeOid), format, bytes, this.text());
  }

  setting(name: string): string | undefined {
    if (name.toLowerCase() === 'is_superuser')
      return this.catalogAccess().authority.superuser ? 'on' : 'off';
    return this.transaction.setting(name) ?? this.settings.get(name);
  }

  get transactionStatus(): TransactionStatus {
    return this.transaction.status;
  }

  get transactionScope(): TransactionScope | undefined {
    return this.transaction.scope;
  }

  get idleTimeoutMs(): number {
    return this.settings.durationMs(
      this.transaction.status === 'idle'
        ? 'idle_session_timeout'
        : 'idle_in_transaction_session_timeout',
    );
  }

  beginImplicit(kind: ImplicitKind): void {
    this.transaction.beginImplicit(kind, this.clockTime());
  }

  async endImplicit(options: { readonly commit: boolean }): Promise<void> {
    try {
      await this.transaction.endImplicit(options.commit);
    } catch (error) {
      throw this.commitError(error);
    }
  }

  failTransaction(): void {
    this.transaction.fail(undefined);
  }

  close(): void {
    this.shared.sessions.remove(this.activity);
    this.transaction.close();
  }

  /** Microseconds since 2000, now. */
  clockTime(): bigint {
    return timestampFromUnixMs(this.shared.clock.wallMs());
  }

  private async run(
    preparation: Preparation,
    parameters: readonly Datum[],
    stream: StreamOptions,
  ): Promise<StatementResult> {
    const { signal } = stream;
    const open = preparation.endsFailure ? undefined : this.transaction.open;
    const values: Datum[] = [];
    const evaluation = this.evaluation(values);
    for (let i = 0; i < parameters.length; i++) {
      const type = preparation.types[i];
      if (type !== undefined)
        values.push(normalizeParameter(type, parameters[i] ?? null, evaluation));
    }
    // What was prepared by another catalog than the transaction's own is prepared anew.
    if (preparation.prepared.provisional !== this.transaction.provisionalCatalog)
      await this.replan(preparation);
    const { prepared } = preparation;
    for (const notice of prepared.notices) this.notify(notice);
    const { plan, columns } = prepared;
    this.checkAccess(prepared);
    this.checkReadOnly(plan);
    this.takeAsOf(preparation);
    switch (plan.kind) {
      case 'select':
        return this.runSelect(preparation, evaluation, stream);
      case 'write': {
        const running = await this.running<WritePlan>(preparation, evaluation, signal);
        const { count, returned, stores } = await this.shared.runner.write(running);
        open?.noteWrites(stores);
        const tag = `${plan.tag} ${count}`;
        return columns === undefined ? emptyResult(tag) : listResult(columns, returned, tag, true);
      }
      case 'explain': {
        const lines = plan.options.analyze
          ? await this.explainAnalyze(preparation, evaluation, signal)
          : explainLines(plan.inner.explain(), plan.options);
        const rows = lines.map((line) => [line]);
        return listResult(columns ?? [], rows, 'EXPLAIN', true);
      }
      case 'begin':
      case 'commit':
      case 'rollback':
      case 'savepoint':
      case 'release':
      case 'rollback-to':
      case 'set-transaction':
      case 'set-characteristics': {
        const tag = await this.control(plan, evaluation.statementStart);
        const asOf = plan.kind === 'begin' ? preparation.statement.node.asOf : undefined;
        if (asOf !== undefined) this.transaction.current?.readAsOf(this.timeOf(asOf) ?? 0);
        return emptyResult(tag);
      }
      case 'prepare':
        await this.prepareNamed(preparation, plan);
        return emptyResult('PREPARE');
      default:
        return runUtility(plan, {
          statements: this.statements,
          block: plan.kind === 'ddl' ? await open?.beginDdl() : undefined,
          database: this.shared.database,
          catalog: this.shared.catalog,
          ids: this.shared.ids,
          logger: this.shared.logger,
          source: preparation.statement.node.source,
          text: preparation.statement.text,
          evaluation,
          searchPath: this.searchPath,
          pace: new Pace(this.shared.clock, signal),
          prng: this.shared.prng,
          settings: this.settings,
          transaction: this.transaction,
          columns,
          backOff: (attempt) => this.shared.runner.backOff(attempt, signal),
          onNotice: (notice) => this.notify(notice),
          onSettingChange: (change) => this.report(change),
        });
    }
  }

  /** Runs the statement, and shows what happened in the place of its result. */
  private async explainAnalyze(
    preparation: Preparation,
    evaluation: SessionEvaluation,
    signal: AbortSignal | undefined,
  ): Promise<string[]> {
    const { runner, clock } = this.shared;
    const { open } = this.transaction;
    const recorder = new Recorder();
    let shown: ExplainPlan | undefined;
    let written = 0;
    const inner = <P extends SelectPlan | WritePlan>(one: Prepared<ExplainPlan>): Prepared<P> => {
      shown = one.plan;
      return { ...one, plan: one.plan.inner as P };
    };
    const running = await this.running<ExplainPlan>(preparation, evaluation, signal);
    const of = <P extends SelectPlan | WritePlan>(): Running<P> => ({
      ...running,
      recorder,
      prepared: inner<P>(running.prepared),
      replan: async () => inner<P>(await running.replan()),
    });
    const begun = clock.nowMs();
    if (running.prepared.plan.inner.kind === 'write') {
      const { stores, count } = await runner.write(of<WritePlan>());
      written = count;
      open?.noteWrites(stores);
    } else for await (const _batch of runner.select(of<SelectPlan>()));
    const ms = clock.nowMs() - begun;
    const { options, inner: plan } = shown ?? running.prepared.plan;
    return explainLines(plan.explain(recorder, written), options, { recorder, ms });
  }

  private async runSelect(
    preparation: Preparation,
    evaluation: SessionEvaluation,
    stream: StreamOptions,
  ): Promise<StatementResult> {
    const { plan, columns = [] } = preparation.prepared;
    const { open } = this.transaction;
    const running = await this.running<SelectPlan>(preparation, evaluation, stream.signal);
    if (plan.kind === 'select' && plan.lookup !== undefined) {
      const rows = await this.shared.runner.lookup(running);
      stream.onEnd();
      return listResult(columns, rows, 'SELECT');
    }
    const rows = this.shared.runner.select(running);
    if (open === undefined) return streamResult(columns, rows, stream);
    const held = new HeldRows(rows, () => open.removeRows(held));
    open.addRows(held);
    return streamResult(columns, held, stream);
  }

  /** Throws what the statement of transaction control throws. */
  private async control(statement: TransactionControl, now: bigint): Promise<string> {
    if (statement.kind !== 'commit') return this.transaction.control(statement, now);
    try {
      return await this.transaction.control(statement, now);
    } catch (error) {
      throw this.commitError(error);
    }
  }

  /** A duplicate that only the commit found, in the words of its table. */
  private commitError(error: unknown): unknown {
    const stores = this.transaction.insertedInto;
    return isKeyExists(error) ? duplicateIn(stores, error, this.evaluation([])) : toSqlError(error);
  }

  /** Throws 42501. */
  private checkAccess({ needs }: PreparedPlan): void {
    if (needs.length === 0) return;
    const { authority, snapshot, trusted } = this;
    if (
      authority.superuser &&
      needs.every((need) => need.kind !== 'relation' || need.as === undefined)
    )
      return;
    const of = (user: string) => authorityOf(snapshot, { user, trusted });
    checkNeeds(needs, snapshot, authority, of);
  }

  /** Throws 25006. */
  private checkReadOnly(plan: PreparedPlan['plan']): void {
    const what = writingCommand(plan);
    if (what !== undefined && this.transaction.modes.readOnly)
      throw new SqlError('25006', `cannot execute ${what} in a read-only transaction`);
  }

  /** AS OF SYSTEM TIME of a query holds for the transaction that it begins. Throws 0A000, 25001, 25006, 22007, 22023. */
  private takeAsOf({ statement, prepared: { plan } }: Preparation): void {
    const { asOf } = statement.node;
    if (asOf === undefined || plan.kind === 'begin' || plan.kind === 'explain') return;
    if (plan.kind !== 'select')
      throw new SqlError('0A000', 'AS OF SYSTEM TIME is for queries and BEGIN alone');
    if (plan.locks !== undefined)
      throw new SqlError('25006', `cannot execute SELECT ${plan.locks} AS OF SYSTEM TIME`);
    const { open } = this.transaction;
    if (open !== undefined) open.readAsOf(this.timeOf(asOf) ?? 0);
  }

  /** @param asOf undefined: as the setting says. @returns ms since 1970; undefined: now. Throws 22007, 22023. */
  private timeOf(asOf: string | undefined): number | undefined {
    if (asOf === undefined) return this.settingAsOf();
    return readAsOf(asOf, this.text(), this.shared.clock.wallMs());
  }

  private settingAsOf(): number | undefined {
    const asOf = this.settings.get('flotilla.read_as_of') ?? '';
    if (asOf === '') return undefined;
    return readAsOfAtMost(asOf, this.text(), this.shared.clock.wallMs());
  }

  /** A statement on its way, in the open transaction if there is one. Throws 40001: that can only be rolled back. */
  private async running<P extends PreparedPlan['plan']>(
    preparation: Preparation,
    evaluation: EvalContext,
    signal: AbortSignal | undefined,
  ): Promise<Running<P>> {
    const { open } = this.transaction;
    const within = await open?.beginStatement();
    open?.useRelations(preparation.prepared);
    const asOf = open === undefined ? this.timeOf(preparation.statement.node.asOf) : undefined;
    // Indexes that came later lack what was there before them.
    const usable = asOf === undefined ? this.usableIndexes() : () => false;
    const prepared = mayRead(preparation.prepared, usable)
      ? preparation.prepared
      : await this.prepareHere(preparation.statement, preparation.declared, usable);
    return {
      prepared: prepared as Prepared<P>,
      usable,
      evaluation,
      signal,
      within,
      isolation: kvIsolation(this.transaction.modes.isolation),
      asOf,
      lockTimeoutMs: this.settings.lockTimeoutMs,
      replan: async () => {
        const fresh = await this.replan<P>(preparation, usable);
        this.checkAccess(fresh);
        open?.useRelations(fresh);
        return fresh;
      },
    };
  }

  /** Throws 0A000 where the statement would now have other columns than its client was told. */
  private async replan<P extends PreparedPlan['plan']>(
    preparation: Preparation,
    usable: IndexTest | undefined = this.usableIndexes(),
  ): Promise<Prepared<P>> {
    const { statement, declared, prepared: before } = preparation;
    const fresh = await this.prepareHere(statement, declared, usable);
    if (shape(fresh.columns) !== shape(before.columns))
      throw new SqlError('0A000', 'cached plan must not change result type');
    preparation.prepared = fresh;
    return fresh as Prepared<P>;
  }

  /** `now()` is the transaction's start, and that of a statement by itself the statement's. */
  private evaluation(parameters: readonly Datum[]): SessionEvaluation {
    const statementStart = this.transaction.messageStart ?? this.clockTime();
    const now = this.transaction.startedAt ?? statementStart;
    return new SessionEvaluation(this, { now, statementStart }, parameters);
  }

  /** A plan by the catalog as this session sees it now. */
  private prepareHere(
    statement: Statement,
    declared: readonly Oid[],
    usable: IndexTest | undefined = this.usableIndexes(),
  ): Promise<PreparedPlan> {
    return this.shared.preparer.prepare(statement, declared, this.evaluation([]), {
      searchPath: this.searchPath,
      provisional: this.transaction.provisionalCatalog,
      usable,
    });
  }

  /** Which indexes the open transaction may read. */
  private usableIndexes(): IndexTest | undefined {
    const { current: open } = this.transaction;
    return open && ((table, indexNumber) => open.seesIndex(table, indexNumber));
  }

  private get searchPath(): readonly string[] {
    const path = parseSearchPath(this.settings.get('search_path') ?? '', this.settings.user);
    const { authority } = this;
    if (authority.superuser) return path;
    // Whoever may not look into a schema does not see what is there.
    return path.filter((schema) => holdsOnSchema(this.snapshot, authority, schema, 'U'));
  }

  /** The catalog as the session sees it now. */
  private get snapshot(): CatalogSnapshot {
    return this.transaction.provisionalCatalog ?? this.shared.catalog.snapshot;
  }

  /** What the present user may do. */
  private get authority(): Authority {
    return authorityOf(this.snapshot, { user: this.settings.user, trusted: this.trusted });
  }

  /** Sees the newest snapshot that is known when it is asked, or what the open transaction has made of it. */
  catalogAccess(): CatalogAccess {
    const { sequences } = this;
    const snapshot = () => this.snapshot;
    const path = () => this.searchPath;
    let names: NameResolver | undefined;
    const authorityFor = (user: string) =>
      authorityOf(this.snapshot, { user, trusted: this.trusted });
    const own = () => this.authority;
    return {
      sequences,
      get authority() {
        return own();
      },
      authorityOf: authorityFor,
      backend: {
        cluster: this.shared.cluster,
        processId: this.options.client?.processId ?? process.pid,
        startedAt: this.shared.startedAt,
        sessions: () => this.shared.sessions.all(),
        setSetting: (name, value, local) => this.setSetting(name, value, local),
        sleep: (ms, signal) => sleepFor(this.shared.clock, ms, signal),
        work: new OutsideWork(),
      },
      get names() {
        if (names?.snapshot !== snapshot()) names = new NameResolver(snapshot(), path());
        return names;
      },
    };
  }

  /** set_config(): SET, or SET LOCAL, from within a statement. */
  private setSetting(name: string, value: string | null, local: boolean): string {
    if (/^transaction_/i.test(name))
      throw new SqlError('0A000', `set_config of "${name}" is not supported`);
    // A statement by itself is a transaction that ends with it.
    if (local && this.transactionStatus === 'idle')
      return value === null ? (this.setting(name) ?? '') : this.settings.check(name, value);
    for (const change of this.settings.set(name, value ?? undefined, local)) this.report(change);
    return this.setting(name) ?? '';
  }

  private text(): TextContext {
    return {
      zone: this.settings.zone,
      extraFloatDigits: this.settings.extraFloatDigits,
      now: this.transaction.startedAt ?? this.clockTime(),
      byteaOutput: this.settings.byteaOutput,
      dateOrder: this.settings.dateOrder,
      names: sessionNames(() => this.catalogAccess().names, this.settings.user),
    };
  }

  private notify(notice: Notice): void {
    this.options.events?.onNotice?.(notice);
  }

  private report(change: SettingChange): void {
    this.options.events?.onParameterStatus?.(change.name, change.value);
  }

  /** A statement begins. statement_timeout as a signal that also follows the caller's. */
  private deadline(outer: AbortSignal | undefined, text: string): Deadline {
    const { activity } = this;
    activity.begin(text);
    const ms = this.settings.statementTimeoutMs;
    if (ms === 0) return { signal: outer, end: () => activity.end() };
    const controller = new AbortController();
    const timer = this.shared.clock.setTimer(ms, () =>
      controller.abort(new SqlError('57014', 'canceling statement due to statement timeout')),
    );
    const signal =
      outer === undefined ? controller.signal : AbortSignal.any([outer, controller.signal]);
    const end = (): void => {
      timer.cancel();
      activity.end();
    };
    return { signal, end };
  }
}

/** COMMIT, ROLLBACK, ROLLBACK TO SAVEPOINT. */
function isFailureEnd({ node: { tree } }: Statement): boolean {
  if (!('TransactionStmt' in tree)) return false;
  const { kind } = tree.TransactionStmt;
  return (
    kind === 'TRANS_STMT_COMMIT' ||
    kind === 'TRANS_STMT_ROLLBACK' ||
    kind === 'TRANS_STMT_ROLLBACK_TO'
  );
}

function readsOnly(plan: PreparedPlan['plan']): boolean {
  if (plan.kind === 'explain') return !plan.options.analyze || readsOnly(plan.inner);
  return plan.kind === 'select' || plan.kind === 'show';
}

/** What a statement that a read-only transaction refuses is called there. */
function writingCommand(plan: PreparedPlan['plan']): string | undefined {
  switch (plan.kind) {
    case 'write':
      return plan.tag === 'INSERT 0' ? 'INSERT' : plan.tag;
    case 'select':
      return plan.locks === undefined ? undefined : `SELECT ${plan.locks}`;
    case 'ddl':
      return ddlTag(plan.tree);
    case 'explain':
      return plan.options.analyze ? writingCommand(plan.inner) : undefined;
    default:
      return undefined;
  }
}

interface Deadline {
  readonly signal: AbortSignal | undefined;
  /** The statement is over. */
  end(): void;
}

function shape(columns: readonly ColumnDescription[] | undefined): string {
  return (columns ?? [])
    .map((column) => `${column.name}\0${column.typeOid}\0${column.typeModifier}`)
    .join('\0\0');
}
