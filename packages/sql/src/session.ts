/** One user's session: settings, and the way of a statement from text to result. Implements `SqlSession`. */
import type { Clock, Logger } from '@flotilla/base';
import type { Catalog } from './catalog/catalog.ts';
import { normalizeParameter } from './execute/parameter.ts';
import { emptyResult, listResult, type StreamOptions, streamResult } from './execute/result.ts';
import type { Prepared, Runner, Statement as Running } from './execute/runner.ts';
import { runUtility } from './execute/utility.ts';
import type { EvalContext } from './functions/signature.ts';
import { statementError, toSqlError } from './kv-errors.ts';
import type { KvDatabase } from './kv-transaction.ts';
import type { Parser, Statement } from './parse/parser.ts';
import type { PreparedPlan, SelectPlan, WritePlan } from './plan/plan.ts';
import type { Preparer } from './prepare.ts';
import type {
  ColumnDescription,
  Datum,
  Notice,
  Oid,
  ParsedStatement,
  PreparedStatement,
  SqlSession,
  SqlSessionEvents,
  StatementResult,
  TransactionStatus,
} from './session-api.ts';
import { type SettingChange, Settings } from './settings.ts';
import { SqlError } from './sql-error.ts';
import type { TextContext } from './types/text-codec.ts';
import { timestampFromUnixMs } from './types/timestamp.ts';
import { type SqlType, typeByOid } from './types/type.ts';
import { decodeValue, encodeValue } from './types/wire-codec.ts';

export interface SessionOptions {
  readonly user: string;
  readonly database: string;
  readonly applicationName?: string;
  readonly events?: Partial<SqlSessionEvents>;
}

export interface SessionShared {
  readonly database: KvDatabase;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly catalog: Catalog;
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
  readonly endsFailure = false;
  prepared: PreparedPlan;

  constructor(statement: Statement, declared: readonly Oid[], prepared: PreparedPlan) {
    this.statement = statement;
    this.declared = declared;
    this.prepared = prepared;
    this.parameterTypes = prepared.parameterTypes;
    this.columns = prepared.columns;
    this.types = prepared.parameterTypes.map(requireType);
  }
}

function requireType(oid: Oid): SqlType {
  const type = typeByOid(oid);
  if (type?.supported === true) return type;
  throw new SqlError('0A000', `type with oid ${oid} is not supported yet`);
}

const noArguments: readonly Datum[] = [];

/** What expressions see of a session during one run. */
class SessionEvaluation implements EvalContext {
  readonly parameters: readonly Datum[];
  readonly user: string;
  readonly database: string;
  readonly now: bigint;
  readonly zone: TextContext['zone'];
  readonly extraFloatDigits: number;
  readonly arguments: readonly Datum[] = noArguments;
  readonly root: EvalContext;
  subqueries: EvalContext['subqueries'];
  private readonly settings: Settings;

  constructor(
    settings: Settings,
    who: { readonly user: string; readonly database: string },
    now: bigint,
    parameters: readonly Datum[],
  ) {
    this.settings = settings;
    this.root = this;
    this.subqueries = undefined;
    this.parameters = parameters;
    this.user = who.user;
    this.database = who.database;
    this.now = now;
    this.zone = settings.zone;
    this.extraFloatDigits = settings.extraFloatDigits;
  }

  setting(name: string): string | undefined {
    return this.settings.get(name);
  }
}

export class EngineSession implements SqlSession {
  private readonly shared: SessionShared;
  private readonly options: SessionOptions;
  private readonly settings: Settings;

  constructor(shared: SessionShared, options: SessionOptions) {
    this.shared = shared;
    this.options = options;
    this.settings = new Settings({
      user: options.user,
      applicationName: options.applicationName ?? '',
    });
  }

  parse(text: string): readonly ParsedStatement[] {
    return this.shared.parser.parse(text);
  }

  async prepare(
    statement: ParsedStatement,
    parameterTypes: readonly Oid[],
  ): Promise<PreparedStatement> {
    const own = statement as Statement;
    try {
      const plan = await this.shared.preparer.prepare(own, parameterTypes, this.evaluation([]));
      return new Preparation(own, parameterTypes, plan);
    } catch (error) {
      throw toSqlError(error);
    }
  }

  async execute(
    prepared: PreparedStatement,
    parameters: readonly Datum[],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<StatementResult> {
    if (!(prepared instanceof Preparation))
      throw new SqlError('XX000', 'the statement was not prepared by this engine');
    if (parameters.length !== prepared.types.length)
      throw new SqlError(
        '08P01',
        `${parameters.length} parameters were given, but the statement requires ${prepared.types.length}`,
      );
    const { signal, end } = this.deadline(options.signal);
    try {
      const result = await this.run(prepared, parameters, { signal, onEnd: end });
      if (prepared.prepared.plan.kind !== 'select') end();
      return result;
    } catch (error) {
      end();
      throw statementError(error, signal);
    }
  }

  encode(typeOid: Oid, format: 0 | 1, value: Datum): Uint8Array | null {
    return encodeValue(requireType(typeOid), format, value, this.text());
  }

  decode(typeOid: Oid, format: 0 | 1, bytes: Uint8Array): Datum {
    return decodeValue(requireType(typeOid), format, bytes, this.text());
  }

  setting(name: string): string | undefined {
    return this.settings.get(name);
  }

  readonly transactionStatus: TransactionStatus = 'idle';

  /** Each statement commits by itself. */
  beginImplicit(): void {}

  async endImplicit(): Promise<void> {}

  close(): void {}

  private async run(
    preparation: Preparation,
    parameters: readonly Datum[],
    stream: StreamOptions,
  ): Promise<StatementResult> {
    const { signal } = stream;
    const values: Datum[] = [];
    const evaluation = this.evaluation(values);
    for (let i = 0; i < parameters.length; i++) {
      const type = preparation.types[i];
      if (type !== undefined)
        values.push(normalizeParameter(type, parameters[i] ?? null, evaluation));
    }
    const { prepared } = preparation;
    for (const notice of prepared.notices) this.notify(notice);
    const { plan, columns } = prepared;
    switch (plan.kind) {
      case 'select': {
        const running = this.running<SelectPlan>(preparation, evaluation, signal);
        if (plan.lookup !== undefined) {
          const rows = await this.shared.runner.lookup(running);
          stream.onEnd();
          return listResult(columns ?? [], rows, 'SELECT');
        }
        return streamResult(columns ?? [], this.shared.runner.select(running), stream);
      }
      case 'write': {
        const running = this.running<WritePlan>(preparation, evaluation, signal);
        const { count, returned } = await this.shared.runner.write(running);
        const tag = `${plan.tag} ${count}`;
        return columns === undefined ? emptyResult(tag) : listResult(columns, returned, tag, true);
      }
      case 'explain':
        return listResult(
          columns ?? [],
          plan.lines.map((line) => [line]),
          'EXPLAIN',
          true,
        );
      default:
        return runUtility(plan, {
          database: this.shared.database,
          catalog: this.shared.catalog,
          logger: this.shared.logger,
          settings: this.settings,
          columns,
          backOff: (attempt) => this.shared.runner.backOff(attempt, signal),
          onNotice: (notice) => this.notify(notice),
          onSettingChange: (change) => this.report(change),
        });
    }
  }

  private running<P extends PreparedPlan['plan']>(
    preparation: Preparation,
    evaluation: EvalContext,
    signal: AbortSignal | undefined,
  ): Running<P> {
    return {
      prepared: preparation.prepared as Prepared<P>,
      evaluation,
      signal,
      replan: () => this.replan<P>(preparation),
    };
  }

  /** Throws 0A000 where the statement would now have other columns than its client was told. */
  private async replan<P extends PreparedPlan['plan']>(
    preparation: Preparation,
  ): Promise<Prepared<P>> {
    const { statement, declared, prepared: before } = preparation;
    const evaluation = this.evaluation([]);
    const fresh = await this.shared.preparer.prepare(statement, declared, evaluation);
    if (shape(fresh.columns) !== shape(before.columns))
      throw new SqlError('0A000', 'cached plan must not change result type');
    preparation.prepared = fresh;
    return fresh as Prepared<P>;
  }

  private evaluation(parameters: readonly Datum[]): SessionEvaluation {
    const now = timestampFromUnixMs(this.shared.clock.wallMs());
    return new SessionEvaluation(this.settings, this.options, now, parameters);
  }

  private text(): TextContext {
    return {
      zone: this.settings.zone,
      extraFloatDigits: this.settings.extraFloatDigits,
      now: timestampFromUnixMs(this.shared.clock.wallMs()),
    };
  }

  private notify(notice: Notice): void {
    this.options.events?.onNotice?.(notice);
  }

  private report(change: SettingChange): void {
    this.options.events?.onParameterStatus?.(change.name, change.value);
  }

  /** statement_timeout as a signal that also follows the caller's. */
  private deadline(outer: AbortSignal | undefined): Deadline {
    const ms = this.settings.statementTimeoutMs;
    if (ms === 0) return { signal: outer, end: () => undefined };
    const controller = new AbortController();
    const timer = this.shared.clock.setTimer(ms, () =>
      controller.abort(new SqlError('57014', 'canceling statement due to statement timeout')),
    );
    const signal =
      outer === undefined ? controller.signal : AbortSignal.any([outer, controller.signal]);
    return { signal, end: () => timer.cancel() };
  }
}

interface Deadline {
  readonly signal: AbortSignal | undefined;
  /** Disarms the timer. */
  end(): void;
}

function shape(columns: readonly ColumnDescription[] | undefined): string {
  return (columns ?? [])
    .map((column) => `${column.name}\0${column.typeOid}\0${column.typeModifier}`)
    .join('\0\0');
}
