/**
 * Runs the statements that a session has prepared: queries, writes, EXPLAIN, transaction control and what is left to
 * `execute/utility.ts`. Called by the session alone; never tells its activity nor sets deadlines.
 */

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
import { isKeyExists } from '../execute/write.ts';
import type { EvalContext } from '../functions/signature.ts';
import { toSqlError } from '../kv-errors.ts';
import type { IndexTest } from '../plan/choose-path.ts';
import { explainLines } from '../plan/explain-node.ts';
import type { ExplainPlan, PreparedPlan, SelectPlan, WritePlan } from '../plan/plan.ts';
import { mayRead } from '../prepare.ts';
import { checkNeeds } from '../roles/access.ts';
import { authorityOf } from '../roles/authority.ts';
import type { Datum, StatementResult } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { kvIsolation } from '../transaction/open-transaction.ts';
import type { TransactionControl } from '../transaction/session-transaction.ts';
import type { SessionEvaluation } from './evaluation.ts';
import { type Preparation, shape, writingCommand } from './preparation.ts';
import type { SessionContext } from './session-context.ts';

type PreparePlan = Extract<PreparedPlan['plan'], { kind: 'prepare' }>;

export class StatementRunner {
  private readonly context: SessionContext;
  private readonly prepareNamed: (preparation: Preparation, plan: PreparePlan) => Promise<void>;

  /** @param prepareNamed runs PREPARE */
  constructor(context: SessionContext, prepareNamed: StatementRunner['prepareNamed']) {
    this.context = context;
    this.prepareNamed = prepareNamed;
  }

  async run(
    preparation: Preparation,
    parameters: readonly Datum[],
    stream: StreamOptions,
  ): Promise<StatementResult> {
    const { signal } = stream;
    const open = preparation.endsFailure ? undefined : this.context.transaction.open;
    const values: Datum[] = [];
    const evaluation = this.context.evaluation(values);
    for (let i = 0; i < parameters.length; i++) {
      const type = preparation.types[i];
      if (type !== undefined)
        values.push(normalizeParameter(type, parameters[i] ?? null, evaluation));
    }
    // What was prepared by another catalog than the transaction's own is prepared anew.
    if (preparation.prepared.provisional !== this.context.transaction.provisionalCatalog)
      await this.replan(preparation);
    const { prepared } = preparation;
    for (const notice of prepared.notices) this.context.notify(notice);
    const { plan, columns } = prepared;
    this.checkAccess(prepared);
    this.checkReadOnly(plan);
    this.takeAsOf(preparation);
    switch (plan.kind) {
      case 'select':
        return this.runSelect(preparation, evaluation, stream);
      case 'write': {
        const running = await this.running<WritePlan>(preparation, evaluation, signal);
        const { count, returned, stores } = await this.context.shared.runner.write(running);
        if (open === undefined) await this.context.temporary.committed(stores);
        else open.noteWrites(stores);
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
          owesChecks: (table) => open?.deferral.checks.concerns(table) === true,
          database: this.context.shared.database,
          catalog: this.context.catalog,
          ids: this.context.shared.ids,
          afterChange: this.context.afterChange,
          source: preparation.statement.node.source,
          text: preparation.statement.text,
          evaluation,
          searchPath: this.context.searchPath,
          temporary: () => this.context.temporary.claim(),
          discardTemporary: () => this.context.temporary.discard(),
          pace: new Pace(this.context.shared.clock, signal),
          prng: this.context.shared.prng,
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
    const running = await this.running<SelectPlan>(preparation, evaluation, stream.signal);
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

  /** Throws 42501. */
  private checkAccess({ needs }: PreparedPlan): void {
    if (needs.length === 0) return;
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

  /** A statement on its way, in the open transaction if there is one. Throws 40001: that can only be rolled back. */
  private async running<P extends PreparedPlan['plan']>(
    preparation: Preparation,
    evaluation: EvalContext,
    signal: AbortSignal | undefined,
  ): Promise<Running<P>> {
    const { open } = this.context.transaction;
    const within = open === undefined ? undefined : await open.beginStatement();
    open?.useRelations(preparation.prepared);
    const asOf =
      open === undefined ? this.context.timeOf(preparation.statement.node.asOf) : undefined;
    // Indexes that came later lack what was there before them.
    const usable = asOf === undefined ? this.context.usableIndexes() : () => false;
    const prepared = mayRead(preparation.prepared, usable)
      ? preparation.prepared
      : await this.context.prepareHere(preparation.statement, preparation.declared, usable);
    return {
      prepared: prepared as Prepared<P>,
      usable,
      evaluation,
      signal,
      within,
      isolation: kvIsolation(this.context.transaction.modes.isolation),
      asOf,
      lockTimeoutMs: this.context.settings.lockTimeoutMs,
      deferral: open?.deferral,
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
