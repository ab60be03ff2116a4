/**
 * Runs plans that read or write rows, each in the open transaction or in one of its own. While nothing of a result has
 * left, a statement whose plan went stale or that met a conflict is run again, where its transaction allows that; after
 * that it fails. See docs/adr/0006 and 0011.
 */
import { type Clock, DbError, type Prng } from '@flotilla/base';
import type { Catalog } from '../catalog/catalog.ts';
import type { Grant } from '../catalog/grant.ts';
import type { Deferral } from '../deferred/deferral.ts';
import type { EvalContext } from '../functions/signature.ts';
import { isUnknown, toSqlError } from '../kv-errors.ts';
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
import { storageSpan, type TableStore } from '../storage/table-store.ts';
import { duplicateOf, isUniqueKey } from './conflicts.ts';
import type { Row } from './evaluate.ts';
import { hasForeignKeys } from './foreign-keys.ts';
import { InsertNode, isKeyExists } from './insert-node.ts';
import { pointKey } from './key-spans.ts';
import { lockKeys, type RowLock } from './lock-rows.ts';
import { evaluateOnce } from './operator.ts';
import { programOfRun } from './push/planned-program.ts';
import { RecordedTransaction, type Recorder } from './recorder.ts';
import { lockOptions, MemoryAccount, Pace, type Run } from './run.ts';
import type { SpillSpace } from './spill/spill-space.ts';
import type { Written } from './write-node.ts';
import { type RowIds, WriteSet } from './write-set.ts';

/** A prepared plan of a known kind. */
export interface Prepared<P> extends PreparedPlan {
  readonly plan: P & PreparedPlan['plan'];
}

/** For statements that only add rows to storage which their transaction alone knows of. */
export interface Relief {
  /** What such a statement keeps before it hands it to the transaction. Unit: bytes, estimated. */
  readonly pourBytes: number;
  /** What the transaction has leaves memory, if that is much. Throws DbError. */
  relieve(): Promise<void>;
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
  /** What `within` puts off. Undefined: nothing is. */
  readonly deferral: Deferral | undefined;
  /** How what was written to new storage leaves memory before the statement's end. Undefined: it does not. */
  readonly relief?: Relief | undefined;
  /** Called before it runs again after a conflict. */
  readonly onRetry?: (() => void) | undefined;
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
  /** Undefined: statements hold everything in memory. */
  readonly spill?: SpillSpace | undefined;
  /** What one statement may hold in memory before it does. Unit: bytes, estimated. */
  readonly spillAtBytes?: number | undefined;
}

export class Runner {
  private readonly options: RunnerOptions;

  constructor(options: RunnerOptions) {
    this.options = options;
  }

  /** `SELECT … WHERE key = …`: the row, if there is one, by one read. */
  async lookup(statement: Statement<SelectPlan>): Promise<Row[]> {
    let { prepared } = statement;
    let stale = 0;
    for (let attempt = 1; ; attempt++) {
      const { lookup } = prepared.plan;
      if (lookup === undefined) throw new RangeError('the plan is one of a point lookup');
      const { scan, outputs, lock } = lookup;
      const run = this.begin(statement, lock === undefined ? 'read' : 'lock', attempt);
      run.pace.check();
      const key = pointKey(scan, statement.evaluation);
      const grant = this.bind(run, prepared);
      try {
        const value = key === undefined ? undefined : await readPoint(run, key, lock);
        if (grant !== undefined || (await this.confirm(run, prepared))) {
          if (key === undefined || value === undefined) return [];
          const row = scan.store.decodeRow(key, value, scan.needed);
          return [outputs.map((evaluate) => evaluate(row, statement.evaluation))];
        }
      } catch (error) {
        if (grant !== undefined || (await this.confirm(run, prepared))) {
          await this.again(statement, error, attempt);
          continue;
        }
      } finally {
        this.release(run, statement, grant, lock !== undefined);
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
      const grant = this.bind(run, prepared);
      let left = false;
      try {
        for await (const batch of this.selectOnce(run, prepared, grant)) {
          yield batch;
          left = true;
        }
        return;
      } catch (error) {
        if (left) throw error === stalePlan ? droppedMeanwhile() : error;
        // Whatever goes wrong with rows that are not what the plan takes them for is no error.
        const isStale =
          error === stalePlan || (grant === undefined && !(await this.confirm(run, prepared)));
        if (!isStale) {
          await this.again(statement, error, attempt);
          continue;
        }
      } finally {
        this.release(run, statement, grant, true);
      }
      prepared = await this.replan(statement, ++stale);
    }
  }

  /** One run. Throws `stalePlan` where the plan turns out to be stale. */
  private async *selectOnce(
    run: Run,
    prepared: Prepared<SelectPlan>,
    grant: Grant | undefined,
  ): AsyncGenerator<Row[], void, undefined> {
    if (grant !== undefined) {
      for await (const batch of prepared.plan.root.open(run)) {
        run.pace.check();
        yield batch;
      }
      return;
    }
    let held: Row[] | undefined;
    let confirmed = false;
    // One batch is held back, so that a result of one batch is checked once, when all of it has been read.
    for await (const batch of prepared.plan.root.open(run)) {
      run.pace.check();
      if (held !== undefined) {
        confirmed ||= await this.confirm(run, prepared);
        if (!confirmed) throw stalePlan;
        yield held;
      }
      held = batch;
    }
    if (!(await this.confirm(run, prepared))) throw stalePlan;
    if (held !== undefined) yield held;
  }

  /**
   * In a transaction of its own it commits, and what it returns is durable. Otherwise its writes are in the open
   * transaction when it returns.
   */
  async write(statement: Statement<WritePlan>): Promise<WrittenRows> {
    const { within } = statement;
    let { prepared } = statement;
    let stale = 0;
    for (let attempt = 1; ; attempt++) {
      const run = this.begin(statement, 'write', attempt);
      const { writes, transaction } = run;
      const grant = this.bind(run, prepared);
      try {
        const computed =
          attempt === 1 ? await this.compute(statement, run, prepared, grant) : undefined;
        if (computed !== undefined) return computed;
        const pour = this.pourOf(run, statement, prepared);
        const written = await prepared.plan.root.run(pour === undefined ? run : { ...run, pour });
        run.pace.check();
        await writes?.complete(run);
        if (within !== undefined) await this.checkUnique(run);
        const isCurrent =
          within === undefined && writes !== undefined && writes.size > 0
            ? await this.commit(run, prepared)
            : grant !== undefined || (await this.confirm(run, prepared));
        if (isCurrent) {
          if (within !== undefined) writes?.apply(transaction, statement.deferral);
          return { ...written, stores: writes?.stores ?? [] };
        }
      } catch (error) {
        if (isUnknown(error)) throw error;
        if (grant !== undefined || (await this.confirm(run, prepared))) {
          if (isKeyExists(error) && writes !== undefined && !retryableKey(writes, error))
            throw duplicateIn(writes.stores, error, statement.evaluation);
          if (within === undefined) transaction.rollback();
          await this.again(statement, error, attempt);
          continue;
        }
      } finally {
        this.release(run, statement, grant, true);
      }
      prepared = await this.replan(statement, ++stale);
    }
  }

  /**
   * A statement of one row that its leaseholder can run by itself, in a transaction of its own: one request, which waits for
   * nobody. @returns undefined: nothing was written, and it is run like any other
   */
  private async compute(
    { within, lockTimeoutMs, recorder }: Statement<WritePlan>,
    run: Run,
    { plan: { rowProgram } }: Prepared<WritePlan>,
    grant: Grant | undefined,
  ): Promise<WrittenRows | undefined> {
    if (rowProgram === undefined || grant === undefined) return undefined;
    if (within !== undefined || recorder !== undefined || lockTimeoutMs > 0) return undefined;
    const { scan, deletes } = rowProgram;
    const { store } = scan;
    const snapshot = run.evaluation.catalog?.names.snapshot;
    if (deletes && (snapshot === undefined || hasForeignKeys(store.table, snapshot)))
      return undefined;
    run.pace.check();
    const program = await programOfRun(rowProgram, run);
    const key = program && (await evaluateOnce(run, () => pointKey(scan, run.evaluation)));
    if (program === undefined || key === undefined) return undefined;
    const written = await this.options.catalog.commitUnder(grant, () =>
      run.transaction.commitComputed(key, program),
    );
    return written ? { count: 1, returned: [], stores: [store] } : undefined;
  }

  /**
   * As `Run.pour` says. The catalog is the transaction's own then, so that the plan cannot turn out to be stale; and what is run
   * again, or fails, is taken back as a whole.
   */
  private pourOf(
    run: Run,
    { relief, deferral }: Statement<WritePlan>,
    { plan, needs }: Prepared<WritePlan>,
  ): Run['pour'] {
    const { root } = plan;
    const { writes, transaction, evaluation } = run;
    const snapshot = evaluation.catalog?.names.snapshot;
    if (relief === undefined || writes === undefined || snapshot === undefined) return undefined;
    if (!(root instanceof InsertNode) || !root.onlyAdds) return undefined;
    const { table } = root.store;
    const isRead = needs.some(
      (need) => need.kind === 'relation' && need.id === table.id && need.letter === 'r',
    );
    if (isRead || !transaction.hasClaimed(storageSpan(table.storageId))) return undefined;
    if (hasForeignKeys(table, snapshot)) return undefined;
    return async () => {
      if (writes.memory.held < relief.pourBytes) return;
      await writes.complete(run);
      await this.checkUnique(run);
      writes.apply(transaction, deferral);
      writes.clear();
      await relief.relieve();
    };
  }

  /** @returns whether the plan is current; if not, nothing was written */
  private async commit({ transaction, writes }: Run, prepared: PreparedPlan): Promise<boolean> {
    const { catalog } = this.options;
    const { holds, grant } = await catalog.confirmForCommit(prepared, transaction);
    if (!holds) return false;
    writes?.apply(transaction, undefined);
    await catalog.commit(transaction, grant);
    return true;
  }

  /** The run sees and makes nothing after what its plan is good for. @returns undefined: that has to be confirmed */
  private bind({ transaction }: Run, prepared: PreparedPlan): Grant | undefined {
    const grant =
      prepared.dependencies.length === 0 ? undefined : this.options.catalog.cover(prepared);
    transaction.bound = grant;
    grant?.use();
    return grant;
  }

  /** Whether all that has been read so far was read while the plan was good: it was made before, and still is. */
  private confirm(run: Run, prepared: PreparedPlan): Promise<boolean> {
    return run.pace.unlessCancelled(this.options.catalog.confirm(prepared));
  }

  /** The run is over. @param own what its own transaction holds is let go */
  private release(
    { transaction }: Run,
    { within }: Statement<unknown>,
    grant: Grant | undefined,
    own: boolean,
  ): void {
    grant?.unuse();
    if (within !== undefined) transaction.bound = undefined;
    else if (own) transaction.rollback();
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
    statement.onRetry?.();
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
    const { evaluation, signal, within, usable, isolation, asOf, lockTimeoutMs, deferral } =
      statement;
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
      ...this.workspace(),
      ctes: undefined,
      writes: purpose === 'write' ? new WriteSet(this.options.rowIds) : undefined,
      lockRows: within !== undefined || attempt > 1,
      usable,
      lockTimeoutMs,
      newest:
        purpose !== 'write' || isolation === 'serializable'
          ? undefined
          : () => database.begin({ readOnly: true }),
      deferral,
    };
  }

  /** What one statement may hold, and where it puts what is more. */
  workspace(): Pick<Run, 'memory' | 'spill'> {
    const { spill, spillAtBytes } = this.options;
    return { memory: new MemoryAccount(workMemoryBytes, spillAtBytes), spill };
  }

  private async replan<P>(statement: Statement<P>, attempt: number): Promise<Prepared<P>> {
    if (attempt >= staleRunsMax)
      throw new SqlError('40001', 'the catalog changed again and again under the statement');
    return statement.replan();
  }
}

/** The row's value, under its lock if there is to be one; undefined also where it is locked and to be skipped. */
function readPoint(
  run: Run,
  key: Uint8Array,
  lock: RowLock | undefined,
): Promise<Uint8Array | undefined> {
  return run.pace.unlessCancelled(
    lock === undefined ? run.transaction.get(key) : lockPoint(run, key, lock),
  );
}

async function lockPoint(
  run: Run,
  key: Uint8Array,
  lock: RowLock,
): Promise<Uint8Array | undefined> {
  const [value] = await lockKeys(run, lock, [key]);
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

function isConflict(error: unknown): error is DbError {
  return error instanceof DbError && (error.code === 'CONFLICT' || error.code === 'KEY_EXISTS');
}

/** A hidden row id met another: the next run draws new ones. Or ON CONFLICT did not see the row: the next run does. */
function retryableKey(writes: WriteSet, { key }: DbError): boolean {
  const { stores } = writes;
  if (key === undefined) return stores.some((store) => store.keyColumns.length === 0);
  return !stores.some((store) => isUniqueKey(store, key)) || writes.wasLookedAt(key);
}
