/**
 * Runs plans that read or write rows, each in a transaction of its own. While nothing of a result has left, a statement
 * whose plan went stale or whose writes met a conflict is run again; after that it fails. See docs/adr/0006.
 */
import { type Clock, DbError, type Prng } from '@flotilla/base';
import type { Catalog } from '../catalog/catalog.ts';
import type { EvalContext } from '../functions/signature.ts';
import { toSqlError } from '../kv-errors.ts';
import type { KvDatabase, KvTransaction } from '../kv-transaction.ts';
import { conflictBackoffMs, conflictRunsMax, staleRunsMax, workMemoryBytes } from '../limits.ts';
import type { PreparedPlan, SelectPlan, WritePlan } from '../plan/plan.ts';
import { SqlError } from '../sql-error.ts';
import type { Row } from './evaluate.ts';
import { MemoryAccount, Pace, type Run } from './run.ts';
import { pointKey } from './scan.ts';
import { duplicateKey, isKeyExists, isRowKey, type Written } from './write.ts';
import { type RowIds, WriteSet } from './write-set.ts';

/** A prepared plan of a known kind. */
export interface Prepared<P> extends PreparedPlan {
  readonly plan: P & PreparedPlan['plan'];
}

export interface Statement<P> {
  readonly prepared: Prepared<P>;
  readonly evaluation: EvalContext;
  readonly signal: AbortSignal | undefined;
  /** The same statement prepared on the catalog as it is now. Throws if that is no longer possible. */
  replan(): Promise<Prepared<P>>;
}

export interface RunnerOptions {
  readonly database: KvDatabase;
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly rowIds: RowIds;
}

export class Runner {
  private readonly options: RunnerOptions;

  constructor(options: RunnerOptions) {
    this.options = options;
  }

  /** `SELECT … WHERE key = …`: the row, if there is one, by one read beside the catalog check. */
  async lookup(statement: Statement<SelectPlan>): Promise<Row[]> {
    const { catalog } = this.options;
    let { prepared } = statement;
    for (let attempt = 1; ; attempt++) {
      const { lookup } = prepared.plan;
      if (lookup === undefined) throw new RangeError('the plan is one of a point lookup');
      const { scan, outputs } = lookup;
      const run = this.begin(statement, 'read');
      run.pace.check();
      const key = pointKey(scan, statement.evaluation);
      const both = Promise.all([
        catalog.confirm(prepared),
        key === undefined ? undefined : run.transaction.get(key),
      ]);
      const [current, value] = await run.pace.unlessCancelled(both);
      if (current && key !== undefined && value !== undefined) {
        const row = scan.store.decodeRow(key, value, scan.needed);
        return [outputs.map((evaluate) => evaluate(row, statement.evaluation))];
      }
      if (current && (key === undefined || (await catalog.confirm(prepared, true)))) return [];
      prepared = await this.replan(statement, attempt);
    }
  }

  /** Rows in batches. Once one has left, a table that is dropped meanwhile fails the statement with 40001. */
  async *select(statement: Statement<SelectPlan>): AsyncGenerator<Row[], void, undefined> {
    const { catalog } = this.options;
    let { prepared } = statement;
    for (let attempt = 1; ; attempt++) {
      const run = this.begin(statement, 'read');
      const { facts } = run;
      const confirmed = catalog.confirm(prepared);
      confirmed.catch(() => undefined); // reported where it is awaited
      let current: boolean | undefined;
      let held: Row[] | undefined;
      let left = false;
      // One batch is held back, so that a result of one batch is checked before any of it leaves.
      for await (const batch of prepared.plan.root.open(run)) {
        run.pace.check();
        if (held !== undefined) {
          current ??= await confirmed;
          if (!current) break;
          yield held;
          left = true;
        }
        held = batch;
      }
      current ??= await confirmed;
      if (current && facts.mayHaveMissed) current = await catalog.confirm(prepared, true);
      if (current) {
        if (held !== undefined) yield held;
        return;
      }
      if (left)
        throw new SqlError('40001', 'a table was dropped while the statement was reading it');
      prepared = await this.replan(statement, attempt);
    }
  }

  /** Commits. What it returns is durable. */
  async write(statement: Statement<WritePlan>): Promise<Written> {
    const { catalog } = this.options;
    let { prepared } = statement;
    let stale = 0;
    for (let attempt = 1; ; attempt++) {
      const run = this.begin(statement, 'write');
      const { facts, writes } = run;
      const confirmed = catalog.confirm(prepared);
      confirmed.catch(() => undefined); // reported where it is awaited
      try {
        const written = await prepared.plan.root.run(run);
        run.pace.check();
        writes?.apply(run.transaction);
        const fresh = !facts.mayHaveMissed || (await catalog.confirm(prepared, true));
        if (fresh) {
          if (await commitBeside(confirmed, run.transaction, writes?.size ?? 0)) return written;
        } else run.transaction.rollback();
      } catch (error) {
        run.transaction.rollback();
        if (mayHaveHappened(error)) throw error;
        if (await confirmed) {
          if (isKeyExists(error) && !retryableKey(prepared.plan, error))
            throw this.duplicate(prepared.plan, error, statement.evaluation);
          if (!isConflict(error) || attempt >= conflictRunsMax) throw error;
          await this.backOff(attempt, statement.signal);
          continue;
        }
      }
      prepared = await this.replan(statement, ++stale);
    }
  }

  /** Waits before run `attempt + 1`: doubling, with jitter. Throws 57014 if the statement is cancelled meanwhile. */
  async backOff(attempt: number, signal?: AbortSignal): Promise<void> {
    const { clock, prng } = this.options;
    const ceiling = Math.min(conflictBackoffMs.most, conflictBackoffMs.first * 2 ** (attempt - 1));
    await new Promise<void>((resolve) => {
      const timer = clock.setTimer(ceiling * (0.5 + prng.nextFloat() / 2), resolve);
      signal?.addEventListener(
        'abort',
        () => {
          timer.cancel();
          resolve();
        },
        { once: true },
      );
    });
    new Pace(clock, signal).check();
  }

  /** @param purpose a transaction that only reads need not remember what it saw */
  private begin(statement: Statement<unknown>, purpose: 'read' | 'write'): Run {
    const { evaluation, signal } = statement;
    evaluation.subqueries = undefined;
    return {
      transaction: this.options.database.begin({ readOnly: purpose === 'read' }),
      evaluation,
      pace: new Pace(this.options.clock, signal),
      memory: new MemoryAccount(workMemoryBytes),
      facts: { mayHaveMissed: false },
      ctes: undefined,
      writes: purpose === 'write' ? new WriteSet(this.options.rowIds) : undefined,
    };
  }

  private async replan<P>(statement: Statement<P>, attempt: number): Promise<Prepared<P>> {
    if (attempt >= staleRunsMax)
      throw new SqlError('40001', 'the catalog changed again and again under the statement');
    return statement.replan();
  }

  private duplicate(plan: WritePlan, error: DbError, context: EvalContext): unknown {
    const { key } = error;
    const store = key === undefined ? undefined : plan.stores.find((one) => isRowKey(one, key));
    if (key === undefined || store === undefined) return toSqlError(error);
    return duplicateKey(store, key, context);
  }
}

/** Commits while the catalog is being checked; waits for both. @returns whether the plan was current */
async function commitBeside(
  confirmed: Promise<boolean>,
  transaction: KvTransaction,
  writes: number,
): Promise<boolean> {
  if (writes === 0) return confirmed;
  await transaction.commit();
  try {
    return await confirmed;
  } catch (cause) {
    // Written, but perhaps into a table that is gone: nobody can say now what that means.
    throw new DbError('OUTCOME_UNKNOWN', 'the catalog could not be checked', {
      outcome: 'unknown',
      cause,
    });
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof DbError && (error.code === 'CONFLICT' || error.code === 'KEY_EXISTS');
}

function mayHaveHappened(error: unknown): boolean {
  return (
    error instanceof DbError && (error.code === 'OUTCOME_UNKNOWN' || error.outcome === 'unknown')
  );
}

/** A hidden row id met another: the next run draws new ones. Or ON CONFLICT did not see the row: the next run does. */
function retryableKey(plan: WritePlan, { key }: DbError): boolean {
  if (key === undefined) return plan.stores.some((store) => store.keyColumns.length === 0);
  return (
    !plan.stores.some((store) => isRowKey(store, key)) ||
    plan.lookedAt.some((store) => isRowKey(store, key))
  );
}
