/** One user's session: the way of a statement from text to result. Implements `SqlSession`. */
import type { ExecuteStmt } from 'libpg-query';
import { SessionActivity } from './cluster/session-activity.ts';
import { CopyCommand, copyOf } from './copy/copy-command.ts';
import { CursorCommand, CursorStatements, isCursorStatement } from './cursors/cursor-statements.ts';
import { argumentsQuery, Execution, executeOf } from './execute-statement.ts';
import { statementError, toSqlError } from './kv-errors.ts';
import type { Statement } from './parse/parser.ts';
import type { PreparedPlan } from './plan/plan.ts';
import { CopyStatements } from './session/copy-statements.ts';
import { Deadlines } from './session/deadlines.ts';
import { isFailureEnd, Preparation, requireType } from './session/preparation.ts';
import { SessionContext } from './session/session-context.ts';
import type { SessionOptions, SessionShared } from './session/session-options.ts';
import { StatementRunner } from './session/statement-runner.ts';
import type {
  Datum,
  FindPortal,
  ImplicitKind,
  NamedPortal,
  NamedStatements,
  Oid,
  ParsedStatement,
  PreparedStatement,
  SqlSession,
  StatementResult,
  TransactionScope,
  TransactionStatus,
} from './session-api.ts';
import { SqlError } from './sql-error.ts';
import { decodeValue, encodeValue } from './types/wire-codec.ts';

export class EngineSession implements SqlSession {
  private readonly context: SessionContext;
  private readonly activity: SessionActivity;
  private readonly deadlines: Deadlines;
  private readonly runner: StatementRunner;
  private readonly copies: CopyStatements;
  private readonly cursors: CursorStatements;

  constructor(shared: SessionShared, options: SessionOptions) {
    const context = new SessionContext(shared, options);
    this.context = context;
    this.activity = new SessionActivity(options, {
      nowMs: () => shared.clock.wallMs(),
      status: () => context.transaction.status,
      transactionStartedAt: () => context.transaction.startedAt,
      applicationName: () => context.settings.get('application_name') ?? '',
    });
    this.deadlines = new Deadlines(context, this.activity);
    this.runner = new StatementRunner(context, (preparation, plan) =>
      this.prepareNamed(preparation, plan),
    );
    const { deadlines, runner } = this;
    this.copies = new CopyStatements(this, { context, deadlines, runner });
    this.cursors = new CursorStatements(this, { context, deadlines, runner });
    if (options.client !== undefined) shared.sessions.add(this.activity);
  }

  get statements(): NamedStatements {
    return this.context.statements;
  }

  parse(text: string): readonly ParsedStatement[] {
    try {
      return this.context.shared.parser.parse(text);
    } catch (error) {
      this.context.transaction.fail(error);
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
      if (!endsFailure) this.context.transaction.requireNotFailed();
      const copy = copyOf(own);
      if (copy !== undefined) return await this.copies.prepare(own, copy);
      if (isCursorStatement(own)) return await this.cursors.prepare(own, parameterTypes);
      const execute = executeOf(own);
      if (execute !== undefined) return await this.prepareExecute(own, execute, parameterTypes);
      const plan = await this.context.prepareHere(own, parameterTypes);
      return new Preparation(own, parameterTypes, plan, endsFailure, this.context.snapshot);
    } catch (error) {
      this.context.transaction.fail(error);
      throw toSqlError(error);
    }
  }

  execute(
    prepared: PreparedStatement,
    parameters: readonly Datum[],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<StatementResult> {
    return prepared instanceof Preparation
      ? this.run(prepared, parameters, options.signal)
      : this.executeOther(prepared, parameters, options);
  }

  /** What has no plan of its own. */
  private async executeOther(
    prepared: PreparedStatement,
    parameters: readonly Datum[],
    options: { readonly signal?: AbortSignal },
  ): Promise<StatementResult> {
    if (prepared instanceof Execution) return this.runExecution(prepared, parameters, options);
    if (prepared instanceof CursorCommand)
      return this.cursors.execute(prepared, parameters, options.signal);
    if (prepared instanceof CopyCommand) {
      this.context.transaction.requireNotFailed();
      return prepared.copiesIn
        ? this.copies.copyFrom(prepared, options.signal)
        : this.copies.copyTo(prepared, options.signal);
    }
    throw new SqlError('XX000', 'the statement was not prepared by this engine');
  }

  private async run(
    prepared: Preparation,
    parameters: readonly Datum[],
    outer: AbortSignal | undefined,
  ): Promise<StatementResult> {
    const { signal, end } = this.deadlines.begin(outer, prepared.statement.text);
    const onError = (error: unknown): unknown => {
      this.context.statementFailed();
      end();
      this.context.transaction.fail(error);
      return statementError(error, signal);
    };
    try {
      if (parameters.length !== prepared.types.length)
        throw new SqlError(
          '08P01',
          `${parameters.length} parameters were given, but the statement requires ${prepared.types.length}`,
        );
      const result = await this.runner.run(prepared, parameters, { signal, onEnd: end, onError });
      if (prepared.prepared.plan.kind !== 'select') {
        end();
        await this.context.settled();
      }
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
    const query = argumentsQuery(statement, execute, prepared.types);
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
    const { text } = statement;
    this.statements.add(name, { prepared, retainedBytes: text.length, text, fromSql: true });
  }

  encode(typeOid: Oid, format: 0 | 1, value: Datum): Uint8Array | null {
    return encodeValue(
      requireType(typeOid, this.context.snapshot),
      format,
      value,
      this.context.text(),
    );
  }

  decode(typeOid: Oid, format: 0 | 1, bytes: Uint8Array): Datum {
    return decodeValue(
      requireType(typeOid, this.context.snapshot),
      format,
      bytes,
      this.context.text(),
    );
  }

  elementOf(typeOid: Oid): Oid {
    return requireType(typeOid, this.context.snapshot).element?.oid ?? 0;
  }

  usePortals(find: FindPortal): void {
    this.cursors.findPortal = find;
  }

  findCursor(name: string): NamedPortal | undefined {
    return this.cursors.find(name);
  }

  setting(name: string): string | undefined {
    return this.context.setting(name);
  }

  get transactionStatus(): TransactionStatus {
    return this.context.transaction.status;
  }

  get transactionScope(): TransactionScope | undefined {
    return this.context.transaction.scope;
  }

  get idleTimeoutMs(): number {
    const { settings, transaction } = this.context;
    return transaction.status === 'idle'
      ? settings.idleSessionTimeoutMs
      : settings.idleInTransactionTimeoutMs;
  }

  beginImplicit(kind: ImplicitKind): void {
    this.context.transaction.beginImplicit(kind, this.context.clockTime());
  }

  endImplicit({ commit }: { readonly commit: boolean }): Promise<void> | undefined {
    const ending = this.context.transaction.endImplicit(commit) ?? this.context.settled();
    return ending && this.ended(ending);
  }

  /** An implicit transaction is ending. */
  private async ended(ending: Promise<void>): Promise<void> {
    try {
      await ending;
      await this.context.settled();
    } catch (error) {
      throw this.runner.commitError(error);
    }
  }

  failTransaction(): void {
    this.context.transaction.fail(undefined);
  }

  close(): void {
    this.context.shared.sessions.remove(this.activity);
    this.context.transaction.close();
    this.deadlines.close();
    this.context.advisory.close();
    this.context.temporary.close();
    this.context.notifications.close();
  }
}
