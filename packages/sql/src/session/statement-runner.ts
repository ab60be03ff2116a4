/**
 * Runs the statements that a session has prepared: queries, writes, EXPLAIN, transaction control and what is left to
 * `execute/utility.ts`. Called by the session alone; never tells its activity nor sets deadlines.
 */

import { DbError, timestampFromWallMs } from '@flotilla/base';
import { isKeyExists } from '../execute/insert-node.ts';
import { normalizeParameter } from '../execute/parameter.ts';
import { Recorder } from '../execute/recorder.ts';
import {
  emptyResult,
  HeldRows,
  listResult,
  type StreamOptions,
  streamResult,
} from '../execute/result.ts';
import { Pace } from '../execute/run.ts';
import { duplicateIn, type Prepared, type Statement as Running } from '../execute/runner.ts';
import { runUtility } from '../execute/utility.ts';
import type { EvalContext } from '../functions/signature.ts';
import { toSqlError } from '../kv-errors.ts';
import type { KvTransaction } from '../kv-transaction.ts';
import type { IndexTest } from '../plan/choose-path.ts';
import { explainLines } from '../plan/explain-node.ts';
import type { ExplainPlan, PreparedPlan, SelectPlan, WritePlan } from '../plan/plan.ts';
import { mayRead } from '../prepare.ts';
import { checkNeeds, type Need } from '../roles/access.ts';
import { authorityOf } from '../roles/authority.ts';
import type { Datum, StatementResult } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { kvIsolation, type OpenTransaction } from '../transaction/open-transaction.ts';
import type { TransactionControl } from '../transaction/session-transaction.ts';
import type { SessionEvaluation } from './evaluation.ts';
import { type Preparation, shape, writingCommand } from './preparation.ts';
import type { SessionContext } from './session-context.ts';

/** What a statement begins with. */
interface Beginning {
  readonly preparation: Preparation;
  readonly evaluation: EvalContext;
  readonly signal: AbortSignal | undefined;
  readonly asOf: number | undefined;
  readonly usable: IndexTest | undefined;
  readonly open: OpenTransaction | undefined;
  readonly within: KvTransaction | undefined;
}

type PreparePlan = Extract<PreparedPlan['plan'], { kind: 'prepare' }>;

export class StatementRunner {
  private readonly context: SessionContext;
  private readonly prepareNamed: (preparation: Preparation, plan: PreparePlan) => Promise<void>;

  /** @param prepareNamed runs PREPARE */
  constructor(context: SessionContext, prepareNamed: StatementRunner['prepareNamed']) {
    this.context = context;
    this.prepareNamed = prepareNamed;
  }

  /** Throws, or rejects with, what the statement throws. */
  run(
    preparation: Preparation,
    parameters: readonly Datum[],
    stream: StreamOptions,
  ): Promise<StatementResult> {
    if (!preparation.endsFailure) this.context.transaction.requireNotFailed();
    const values: Datum[] = [];
    const evaluation = this.context.evaluation(values);
    for (let i = 0; i < parameters.length; i++) {
      const type = preparation.types[i];
      if (type !== undefined)
        values.push(normalizeParameter(type, parameters[i] ?? null, evaluation));
    }
    // What was prepared by another catalog than the transaction's own is prepared anew.
    const { provisional, refusal } = preparation.prepared;
    if (provisional !== this.context.transaction.provisionalCatalog)
      return this.replan(preparation).then(() => this.runPlan(preparation, evaluation, stream));
    if (refusal === undefined) return this.runPlan(preparation, evaluation, stream);
    // And so is what could not be run, by the catalog as it is now.
    const newest = this.context.catalog.loadNewest();
    return newest
      .then(() => this.replan(preparation))
      .then(() => this.runPlan(preparation, evaluation, stream));
  }

  private runPlan(
    preparation: Preparation,
    evaluation: SessionEvaluation,
    stream: StreamOptions,
  ): Promise<StatementResult> {
    const { prepared } = preparation;
    for (const notice of prepared.notices) this.context.notify(notice);
    this.checkAccess(prepared);
    this.checkReadOnly(prepared.plan);
    this.takeAsOf(preparation);
    return prepared.plan.kind === 'select'
      ? this.runSelect(preparation, evaluation, stream)
      : this.runOther(preparation, prepared.plan, evaluation, stream.signal);
  }

  /** What is no query. */
  private async runOther(
    preparation: Preparation,
    plan: Exclude<PreparedPlan['plan'], { kind: 'select' }>,
    evaluation: SessionEvaluation,
    signal: AbortSignal | undefined,
  ): Promise<StatementResult> {
    const open = preparation.endsFailure ? undefined : this.context.transaction.open;
    const { columns } = preparation.prepared;
    switch (plan.kind) {
      case 'write': {
        const running = await this.running<WritePlan>(preparation, evaluation, signal);
        const { count, returned, stores } = await this.context.shared.runner.write(running);
        if (open === undefined) await this.context.temporary.committed(stores);
        else {
          open.noteWrites(stores);
          await open.relieve(signal);
        }
        this.context.shared.autoAnalyze?.note(stores, count);
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
        const tag = await this.control(plan, evaluation.statementStart, signal);
        const asOf = plan.kind === 'begin' ? preparation.statement.node.asOf : undefined;
        if (asOf !== undefined)
          this.context.transaction.current?.readAsOf(this.context.timeOf(asOf) ?? 0);
        return emptyResult(tag);
      }
      case 'set-constraints':
        this.context.transaction.warnUnlessInBlock('SET CONSTRAINTS');
        await this.context.constraints.set(plan, open, signal);
        return emptyResult('SET CONSTRAINTS');
      case 'prepare':
        await this.prepareNamed(preparation, plan);
        return emptyResult('PREPARE');
      default:
        return runUtility(plan, {
          statements: this.context.statements,
          cursors: this.context.cursors,
          notifications: this.context.notifications,
          block: plan.kind === 'ddl' ? await open?.beginDdl() : undefined,
          workspace: () => this.context.shared.runner.workspace(),
          usable: open === undefined ? undefined : this.context.usableIndexes(),
          noteRows: (table, rows) => this.context.shared.autoAnalyze?.note([{ table }], rows),
          owesChecks: (table) => open?.deferral.checks.concerns(table) === true,
          database: this.context.shared.database,
          catalog: this.context.catalog,
          ids: this.context.shared.ids,
          afterChange: this.context.afterChange,
          beginLoad: () => this.context.shared.loading.begin(),
          source: preparation.statement.node.source,
          text: preparation.statement.text,
          evaluation,
          searchPath: this.context.searchPath,
          temporary: () => this.context.temporary.claim(),
          discardTemporary: () => this.context.temporary.discard(),
          pace: new Pace(this.context.shared.clock, signal),
          prng: this.context.shared.prng,
          clock: this.context.shared.clock,
          settings: this.context.settings,
          transaction: this.context.transaction,
          columns,
          backOff: (attempt) => this.context.shared.runner.backOff(attempt, signal),
          onNotice: (notice) => this.context.notify(notice),
          onSettingChange: (change) => this.context.report(change),
        });
    }
  }

  private async runSelect(
    preparation: Preparation,
    evaluation: SessionEvaluation,
    stream: StreamOptions,
  ): Promise<StatementResult> {
    const { plan, columns = [] } = preparation.prepared;
    const { open } = this.context.transaction;
    const starting = this.running<SelectPlan>(preparation, evaluation, stream.signal);
    const running = starting instanceof Promise ? await starting : starting;
    if (plan.kind === 'select' && plan.lookup !== undefined) {
      const rows = await this.context.shared.runner.lookup(running);
      stream.onEnd();
      return listResult(columns, rows, 'SELECT');
    }
    const rows = this.context.shared.runner.select(running);
    if (open === undefined) return streamResult(columns, rows, stream);
    const held = new HeldRows(rows, () => open.removeRows(held));
    open.addRows(held);
    return streamResult(columns, held, stream);
  }

  /** Runs the statement, and shows what happened in the place of its result. */
  private async explainAnalyze(
    preparation: Preparation,
    evaluation: SessionEvaluation,
    signal: AbortSignal | undefined,
  ): Promise<string[]> {
    const { runner, clock } = this.context.shared;
    const { open } = this.context.transaction;
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
      await open?.relieve(signal);
    } else for await (const _batch of runner.select(of<SelectPlan>()));
    const ms = clock.nowMs() - begun;
    const { options, inner: plan } = shown ?? running.prepared.plan;
    return explainLines(plan.explain(recorder, written), options, { recorder, ms });
  }

  /** Throws what the statement of transaction control throws. */
  private async control(
    statement: TransactionControl,
    now: bigint,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    try {
      const tag = await this.context.transaction.control(statement, now, signal);
      if (statement.kind === 'rollback-to') this.context.notifications.sweep();
      await this.context.settled();
      return tag;
    } catch (error) {
      throw statement.kind === 'commit' ? this.commitError(error) : error;
    }
  }

  /** A duplicate that only the commit found, in the words of its table. */
  commitError(error: unknown): unknown {
    const stores = this.context.transaction.insertedInto;
    return isKeyExists(error)
      ? duplicateIn(stores, error, this.context.evaluation([]))
      : toSqlError(error);
  }

  /** Throws 42501, and what is said to everybody. */
  private checkAccess({ needs, plan, refusal }: PreparedPlan): void {
    if (needs.length === 0) return;
    this.checkPrivileges(needs);
    if (refusal !== undefined && (isRun(plan) || refusal.explained)) throw refusal.error();
  }

  private checkPrivileges(needs: readonly Need[]): void {
    const { authority, snapshot, trusted } = this.context;
    if (
      authority.superuser &&
      needs.every((need) => need.kind !== 'relation' || need.as === undefined)
    )
      return;
    const of = (user: string) => authorityOf(snapshot, { user, trusted });
    checkNeeds(needs, snapshot, authority, of);
  }

  /** Throws 25006. */
  checkReadOnly(plan: PreparedPlan['plan']): void {
    const what = writingCommand(plan);
    if (what !== undefined && this.context.transaction.modes.readOnly)
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
    const { open } = this.context.transaction;
    if (open !== undefined) open.readAsOf(this.context.timeOf(asOf) ?? 0);
  }

  /**
   * A statement on its way, in the open transaction if there is one. Throws 40001: that can only be rolled back. No promise
   * where the statement is a transaction by itself, as most are, and may be run by the plan that it has.
   */
  private running<P extends PreparedPlan['plan']>(
    preparation: Preparation,
    evaluation: EvalContext,
    signal: AbortSignal | undefined,
  ): Running<P> | Promise<Running<P>> {
    const { open } = this.context.transaction;
    if (open !== undefined) return this.runningWithin(open, preparation, evaluation, signal);
    const asOf = this.context.timeOf(preparation.statement.node.asOf);
    // Indexes that came later lack what was there before them.
    const usable = asOf === undefined ? undefined : () => false;
    const alone = { preparation, evaluation, signal, asOf, usable, open, within: undefined };
    if (asOf !== undefined && filledAtOf(preparation.prepared) > timestampFromWallMs(asOf))
      throw new DbError('SNAPSHOT_TOO_OLD', 'a table was not there yet at that time');
    if (mayRead(preparation.prepared, usable))
      return this.begun(preparation.prepared as Prepared<P>, alone);
    return this.context
      .prepareHere(preparation.statement, preparation.declared, usable)
      .then((prepared) => this.begun(prepared as Prepared<P>, alone));
  }

  private async runningWithin<P extends PreparedPlan['plan']>(
    open: OpenTransaction,
    preparation: Preparation,
    evaluation: EvalContext,
    signal: AbortSignal | undefined,
  ): Promise<Running<P>> {
    const within = await open.beginStatement();
    open.useRelations(preparation.prepared);
    const usable = this.context.usableIndexes();
    const prepared = mayRead(preparation.prepared, usable)
      ? preparation.prepared
      : await this.context.prepareHere(preparation.statement, preparation.declared, usable);
    const filledAt = filledAtOf(prepared);
    if (filledAt > 0) await within.readSince(filledAt);
    return this.begun(prepared as Prepared<P>, {
      ...{ preparation, evaluation, signal, usable, open, within },
      asOf: undefined,
    });
  }

  private begun<P extends PreparedPlan['plan']>(
    prepared: Prepared<P>,
    { preparation, evaluation, signal, asOf, usable, open, within }: Beginning,
  ): Running<P> {
    return {
      prepared,
      usable,
      evaluation,
      signal,
      within,
      isolation: kvIsolation(this.context.transaction.modes.isolation),
      asOf,
      lockTimeoutMs: this.context.settings.lockTimeoutMs,
      deferral: open?.deferral,
      relief:
        open === undefined
          ? undefined
          : {
              pourBytes: this.context.shared.loading.pourBytes,
              relieve: () => open.relieve(signal),
            },
      onRetry: this.context.options.events?.onRetry,
      replan: async () => {
        const fresh = await this.replan<P>(preparation, usable);
        this.checkAccess(fresh);
        open?.useRelations(fresh);
        const filledAt = filledAtOf(fresh);
        if (filledAt > 0) await within?.readSince(filledAt);
        return fresh;
      },
    };
  }

  /** Throws 0A000 where the statement would now have other columns than its client was told. */
  private async replan<P extends PreparedPlan['plan']>(
    preparation: Preparation,
    usable: IndexTest | undefined = this.context.usableIndexes(),
  ): Promise<Prepared<P>> {
    const { statement, declared, prepared: before } = preparation;
    const fresh = await this.context.prepareHere(statement, declared, usable);
    if (shape(fresh.columns) !== shape(before.columns))
      throw new SqlError('0A000', 'cached plan must not change result type');
    preparation.prepared = fresh;
    return fresh as Prepared<P>;
  }
}

/** Not so where the statement is only explained. */
function isRun(plan: PreparedPlan['plan']): boolean {
  return plan.kind !== 'explain' || plan.options.analyze;
}

/** Before this, storage of the tables that a plan reads may show some of its rows. 0: there is none like that. */
function filledAtOf({ dependencies }: PreparedPlan): number {
  let latest = 0;
  for (const { relation } of dependencies)
    if (relation.kind === 'table' && relation.filledAt !== undefined)
      latest = Math.max(latest, relation.filledAt);
  return latest;
}
