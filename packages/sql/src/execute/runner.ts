/**
 * Runs plans that read or write rows, each in the open transaction or in one of its own. While nothing of a result has
 * left, a statement whose plan went stale or that met a conflict is run again, where its transaction allows that; after
 * that it fails. See docs/adr/0006.
 */
import { type Clock, DbError, type Prng } from '@flotilla/base';
import type { Catalog } from '../catalog/catalog.ts';
import type { EvalContext } from '../functions/signature.ts';
import { toSqlError } from '../kv-errors.ts';
import {
  type IsolationLevel,
  type KvDatabase,
  type KvTransaction,
  lockedByOther,
} from '../kv-transaction.ts';
import {
  batchRows,
  conflictBackoffMs,
  conflictRunsMax,
  staleRunsMax,
  uniqueLocksMax,
  workMemoryBytes,
} from '../limits.ts';
import type { IndexTest } from '../plan/choose-path.ts';
import type { PreparedPlan, SelectPlan, WritePlan } from '../plan/plan.ts';
import { SqlError } from '../sql-error.ts';
import type { TableStore } from '../storage/table-store.ts';
import { duplicateOf, isUniqueKey } from './conflicts.ts';
import type { Row } from './evaluate.ts';
import { pointKey } from './key-spans.ts';
import { lockKeys, type RowLock } from './lock-rows.ts';
import { RecordedTransaction, type Recorder } from './recorder.ts';
import { lockOptions, MemoryAccount, Pace, type Run } from './run.ts';
import { isKeyExists, type Written } from './write.ts';
import { type RowIds, WriteSet } from './write-set.ts';

/** A prepared plan of a known kind. */
export interface Prepared<P> extends PreparedPlan {
  readonly plan: P & PreparedPlan['plan'];
}

export interface Statement<P> {
  readonly prepared: Prepared<P>;
  readonly evaluation: EvalContext;
  readonly signal: AbortSignal | undefined;
  /** The open transaction that it is a part of; undefined: it gets one of its own. */
  readonly within: KvTransaction | undefined;
  /** Which indexes `within` may read; undefined: all of them. */
  readonly usable: IndexTest | undefined;
  /** EXPLAIN ANALYZE: what happens is noted there. */
  readonly recorder?: Recorder | undefined;
  /** Of a transaction of its own. */
  readonly isolation: IsolationLevel;
  /** As that: what it reads is as it was then. Unit: ms since 1970. */
  readonly asOf: number | undefined;
  /** 0 = none. */
  readonly lockTimeoutMs: number;
  /** The same statement prepared on the catalog as it is now. Throws if that is no longer possible. */
  replan(): Promise<Prepared<P>>;
}

export interface WrittenRows extends Written {
  /** The tables that were written to, by whatever way. */
  readonly stores: readonly TableStore[];
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
    let stale = 0;
    for (let attempt = 1; ; attempt++) {
      const { lookup } = prepared.plan;
      if (lookup === undefined) throw new RangeError('the plan is one of a point lookup');
      const { scan, outputs, lock } = lookup;
      const run = this.begin(statement, lock === undefined ? 'read' : 'lock', attempt);
      run.pace.check();
      const key = pointKey(scan, statement.evaluation);
      const confirmed = catalog.confirm(prepared);
      confirmed.catch(() => undefined); // reported where it is awaited
      try {
        const value = key === undefined ? undefined : await readPoint(run, key, lock);
        const current = await run.pace.unlessCancelled(confirmed);
        if (current && key !== undefined && value !== undefined) {
          const row = scan.store.decodeRow(key, value, scan.needed);
          return [outputs.map((evaluate) => evaluate(row, statement.evaluation))];
        }
        if (current && (key === undefined || (await catalog.confirm(prepared, true)))) return [];
      } catch (error) {
        await this.again(statement, error, attempt);
        continue;
      } finally {
        if (lock !== undefined && statement.within === undefined) run.transaction.rollback();
      }
      prepared = await this.replan(statement, ++stale);
    }
  }

  /**
   * Rows in batches. Once one has left, a table that is dropped meanwhile fails the statement with 40001. Locks that it
   * took in a transaction of its own are let go when the rows have ended.
   */
  async *select(statement: Statement<SelectPlan>): AsyncGenerator<Row[], void, undefined> {
    let { prepared } = statement;
    let stale = 0;
    for (let attempt = 1; ; attempt++) {
      const run = this.begin(
        statement,
        prepared.plan.locks === undefined ? 'read' : 'lock',
        attempt,
      );
      let left = false;
      try {
        for await (const batch of this.selectOnce(run, prepared)) {
          yield batch;
          left = true;
        }
        return;
      } catch (error) {
        if (left) throw error === stalePlan ? droppedMeanwhile() : error;
        if (error !== stalePlan) {
          await this.again(statement, error, attempt);
          continue;
        }
      } finally {
        if (statement.within === undefined) run.transaction.rollback();
      }
      prepared = await this.replan(statement, ++stale);
    }
  }

  /** One run. Throws `stalePlan` where the plan turns out to be stale. */
  private async *selectOnce(
    run: Run,
    prepared: Prepared<SelectPlan>,
  ): AsyncGenerator<Row[], void, undefined> {
    const { catalog } = this.options;
    const confirmed = catalog.confirm(prepared);
    confirmed.catch(() => undefined); // reported where it is awaited
    let current: boolean | undefined;
    let held: Row[] | undefined;
    // One batch is held back, so that a result of one batch is checked before any of it leaves.
    for await (const batch of prepared.plan.root.open(run)) {
      run.pace.check();
      if (held !== undefined) {
        current ??= await confirmed;
        if (!current) throw stalePlan;
        yield held;
      }
      held = batch;
    }
    current ??= await confirmed;
    if (current && run.facts.mayHaveMissed) current = await catalog.confirm(prepared, true);
    if (!current) throw stalePlan;
    if (held !== undefined) yield held;
  }

  /**
   * In a transaction of its own it commits, and what it returns is durable. Otherwise its writes are in the open
   * transaction when it returns.
   */
  async write(statement: Statement<WritePlan>): Promise<WrittenRows> {
    const { catalog } = this.options;
    const { within } = statement;
    let { prepared } = statement;
    let stale = 0;
    for (let attempt = 1; ; attempt++) {
      const run = this.begin(statement, 'write', attempt);
      const { facts, writes, transaction } = run;
      const confirmed = catalog.confirm(prepared);
      confirmed.catch(() => undefined); // reported where it is awaited
      try {
        const written = await prepared.plan.root.run(run);
        run.pace.check();
        await writes?.complete(run);
        if (within !== undefined) await this.checkUnique(run);
        const fresh = !facts.mayHaveMissed || (await catalog.confirm(prepared, true));
        if (within !== undefined) {
          if (fresh && (await confirmed)) {
            writes?.apply(transaction);
            return { ...written, stores: writes?.stores ?? [] };
          }
        } else if (fresh) {
          writes?.apply(transaction);
          const current = await commitBeside(confirmed, transaction, writes?.size ?? 0);
          const stores = writes?.stores ?? [];
          // What was written is there, unless the tables are others now: then it is garbage.
          if (current || (stores.length > 0 && stores.every((store) => this.isStored(store))))
            return { ...written, stores };
        }
        if (within === undefined) transaction.rollback();
      } catch (error) {
        if (within === undefined) transaction.rollback();
        if (mayHaveHappened(error)) throw error;
        if (await confirmed) {
          if (isKeyExists(error) && writes !== undefined && !retryableKey(writes, error))
            throw duplicateIn(writes.stores, error, statement.evaluation);
          await this.again(statement, error, attempt);
          continue;
        }
      }
      prepared = await this.replan(statement, ++stale);
    }
  }

  /** Whether rows of the table still lie where the store has them. */
  private isStored({ table }: TableStore): boolean {
    return this.options.catalog.snapshot.table(table.id)?.storageId === table.storageId;
  }

  /**
   * In a block a duplicate fails the statement that makes it, as in PostgreSQL, and not the commit. The key's lock makes
   * those that insert the same key wait for each other. Throws 23505.
   */
  private async checkUnique(run: Run): Promise<void> {
    const stores = run.writes?.stores ?? [];
    const keys =
      run.writes?.mustBeAbsent((key) => stores.some((store) => isUniqueKey(store, key))) ?? [];
    // Thousands of locks for a bulk load: there it is left to the commit to find who else inserts the same.
    const lock = keys.length > uniqueLocksMax ? {} : lockOptions(run, 'exclusive');
    for (let at = 0; at < keys.length; at += batchRows) {
      const chunk = keys.slice(at, at + batchRows);
      const values = await run.pace.unlessCancelled(run.transaction.getMany(chunk, lock));
      const taken = values.findIndex((value) => value !== undefined);
      if (taken >= 0)
        throw new DbError('KEY_EXISTS', 'the key is there already', {
          key: chunk[taken] as Uint8Array,
        });
    }
  }

  /** Makes ready for the next run, or throws the error: the statement cannot be run again, or has been too often. */
  private async again(
    statement: Statement<unknown>,
    error: unknown,
    attempt: number,
  ): Promise<void> {
    const { within } = statement;
    if (!isConflict(error) || attempt >= conflictRunsMax) throw error;
    if (within !== undefined && !(within.restartable && error.code === 'CONFLICT')) throw error;
    await this.backOff(attempt, statement.signal);
    within?.restartStatement();
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

  /**
   * @param purpose a transaction of its own that only reads need not remember what it saw
   * @param attempt from the second one on, rows that are to be changed are locked, so that they are waited for in a queue
   */
  private begin(
    statement: Statement<unknown>,
    purpose: 'read' | 'lock' | 'write',
    attempt: number,
  ): Run {
    const { evaluation, signal, within, usable, isolation, asOf, lockTimeoutMs } = statement;
    const { database } = this.options;
    evaluation.subqueries = undefined;
    const { recorder } = statement;
    recorder?.reset();
    const readOnly = purpose === 'read';
    const transaction =
      within ??
      database.begin(asOf === undefined ? { readOnly, isolation } : { readOnly, isolation, asOf });
    return {
      transaction:
        recorder === undefined ? transaction : new RecordedTransaction(transaction, recorder),
      recorder,
      evaluation,
      pace: new Pace(this.options.clock, signal),
      memory: new MemoryAccount(workMemoryBytes),
      facts: { mayHaveMissed: false },
      ctes: undefined,
      writes: purpose === 'write' ? new WriteSet(this.options.rowIds) : undefined,
      lockRows: within !== undefined || attempt > 1,
      usable,
      lockTimeoutMs,
    };
  }

  private async replan<P>(statement: Statement<P>, attempt: number): Promise<Prepared<P>> {
    if (attempt >= staleRunsMax)
      throw new SqlError('40001', 'the catalog changed again and again under the statement');
    return statement.replan();
  }
}

/** The row's value, under its lock if there is to be one; undefined also where it is locked and to be skipped. */
async function readPoint(
  run: Run,
  key: Uint8Array,
  lock: RowLock | undefined,
): Promise<Uint8Array | undefined> {
  if (lock === undefined) return run.pace.unlessCancelled(run.transaction.get(key));
  const [value] = await run.pace.unlessCancelled(lockKeys(run, lock, [key]));
  return value === lockedByOther ? undefined : value;
}

/** Thrown where a run finds that its plan is stale. */
const stalePlan: unique symbol = Symbol('stale plan');

function droppedMeanwhile(): SqlError {
  return new SqlError('40001', 'a table was dropped while the statement was reading it');
}

/** KEY_EXISTS as 23505 in the words of the table whose key it is. */
export function duplicateIn(
  stores: Iterable<TableStore>,
  error: DbError,
  context: EvalContext,
): unknown {
  const { key } = error;
  if (key !== undefined)
    for (const store of stores)
      if (isUniqueKey(store, key)) return duplicateOf(store, key, context);
  return toSqlError(error);
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

function isConflict(error: unknown): error is DbError {
  return error instanceof DbError && (error.code === 'CONFLICT' || error.code === 'KEY_EXISTS');
}

function mayHaveHappened(error: unknown): boolean {
  return (
    error instanceof DbError && (error.code === 'OUTCOME_UNKNOWN' || error.outcome === 'unknown')
  );
}

/** A hidden row id met another: the next run draws new ones. Or ON CONFLICT did not see the row: the next run does. */
function retryableKey(writes: WriteSet, { key }: DbError): boolean {
  const { stores } = writes;
  if (key === undefined) return stores.some((store) => store.keyColumns.length === 0);
  return !stores.some((store) => isUniqueKey(store, key)) || writes.wasLookedAt(key);
}
