/** What one run of a plan shares: transaction, parameters, cancellation, pace and memory. */
import type { Clock } from '@flotilla/base';
import type { Deferral } from '../deferred/deferral.ts';
import type { EvalContext } from '../functions/signature.ts';
import { cancelledMessage } from '../kv-errors.ts';
import type { KvTransaction, LockMode, ReadOptions } from '../kv-transaction.ts';
import { turnBudgetMs } from '../limits.ts';
import type { IndexTest } from '../plan/choose-path.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TextContext } from '../types/codec.ts';
import { datumBytes } from '../types/values.ts';
import type { CteRuns } from './cte.ts';
import type { Recorder } from './recorder.ts';
import type { SpillSpace } from './spill/spill-space.ts';
import type { WriteSet } from './write-set.ts';

export interface Run {
  readonly transaction: KvTransaction;
  readonly evaluation: EvalContext;
  readonly pace: Pace;
  /** What all operators of the statement hold together. */
  readonly memory: MemoryAccount;
  /** Where operators put what memory has no room for. Undefined: nowhere, and too much is 53200. */
  readonly spill: SpillSpace | undefined;
  /** Named queries whose WITH is being run. */
  readonly ctes: CteRuns | undefined;
  /** Where a statement that writes leaves its writes till its end. */
  readonly writes: WriteSet | undefined;
  /** Rows that the statement changes are locked before they are. */
  readonly lockRows: boolean;
  /** Which secondary indexes the transaction may read; undefined: all of them. */
  readonly usable: IndexTest | undefined;
  /** 0 = none. */
  readonly lockTimeoutMs: number;
  /** A transaction that reads what has been committed by now. Undefined: commit checks all that the run reads. */
  readonly newest: (() => KvTransaction) | undefined;
  /** Of the open transaction. Undefined: nothing is put off. */
  readonly deferral: Deferral | undefined;
  /**
   * For a statement that only adds rows, which it does not read, to storage that its transaction alone knows of: hands on what it has
   * written so far, if that is much. Undefined: all of it is kept till the end.
   */
  readonly pour?: (() => Promise<void>) | undefined;
  /** For EXPLAIN ANALYZE. */
  readonly recorder?: Recorder | undefined;
}

/** How a locking read of this run is made. @param unchanged the run has read the keys in its snapshot before */
export function lockOptions(run: Run, lock: LockMode, unchanged = false): ReadOptions {
  const { lockTimeoutMs, pace } = run;
  return {
    lock,
    unchanged,
    ...(lockTimeoutMs === 0 ? {} : { lockTimeoutMs }),
    ...(pace.signal === undefined ? {} : { signal: pace.signal }),
  };
}

/** The same evaluation for a query inside, which sees these values as its arguments. */
export function withArguments(outer: EvalContext, values: readonly Datum[]): EvalContext {
  return {
    zone: outer.zone,
    extraFloatDigits: outer.extraFloatDigits,
    now: outer.now,
    statementStart: outer.statementStart,
    clockTime: () => outer.clockTime(),
    ...textSettings(outer),
    parameters: outer.parameters,
    user: outer.user,
    database: outer.database,
    catalog: outer.catalog,
    setting: (name) => outer.setting(name),
    arguments: values,
    root: outer.root,
    subqueries: undefined,
  };
}

/** What is left out where it is the default. */
export function textSettings(outer: TextContext): Partial<TextContext> {
  return {
    ...(outer.names === undefined ? {} : { names: outer.names }),
    ...(outer.byteaOutput === undefined ? {} : { byteaOutput: outer.byteaOutput }),
    ...(outer.dateOrder === undefined ? {} : { dateOrder: outer.dateOrder }),
  };
}

/** The same evaluation by another catalog: that which a change is making. */
export function withCatalog(outer: EvalContext, catalog: EvalContext['catalog']): EvalContext {
  const evaluation = { ...withArguments(outer, outer.arguments), catalog };
  return Object.assign(evaluation, { root: evaluation });
}

/** The same evaluation as if another role had asked for it. */
export function asRole(outer: EvalContext, role: string): EvalContext {
  const { catalog } = outer;
  const own =
    catalog === undefined
      ? undefined
      : {
          sequences: catalog.sequences,
          backend: catalog.backend,
          authority: catalog.authorityOf(role),
          authorityOf: (other: string) => catalog.authorityOf(other),
          names: catalog.names,
        };
  const evaluation = { ...withArguments(outer, outer.arguments), catalog: own, user: role };
  return Object.assign(evaluation, { root: evaluation });
}

/** Of each signal one listener, whatever waits under it: listening costs more than most waits. */
const waitsBySignal = new WeakMap<AbortSignal, Set<(reason: SqlError) => void>>();

/** What is called when it is aborted. */
function waitsUnder(signal: AbortSignal): Set<(reason: SqlError) => void> {
  let waits = waitsBySignal.get(signal);
  if (waits === undefined) {
    const all = new Set<(reason: SqlError) => void>();
    signal.addEventListener(
      'abort',
      () => {
        for (const reject of all) reject(cancellation(signal));
        all.clear();
      },
      { once: true },
    );
    waitsBySignal.set(signal, all);
    waits = all;
  }
  return waits;
}

function cancellation({ reason }: AbortSignal): SqlError {
  return reason instanceof SqlError ? reason : new SqlError('57014', cancelledMessage);
}

/** Keeps one statement from holding the event loop, and notices that it was cancelled. */
export class Pace {
  readonly signal: AbortSignal | undefined;
  private readonly clock: Clock;
  private since: number;

  constructor(clock: Clock, signal: AbortSignal | undefined) {
    this.clock = clock;
    this.signal = signal;
    this.since = clock.nowMs();
  }

  /** Throws 57014 if the statement was cancelled. */
  check(): void {
    if (this.signal?.aborted === true) throw cancellation(this.signal);
  }

  /** The promise's result, unless the statement is cancelled first: then 57014, and the result is dropped. */
  unlessCancelled<T>(promise: Promise<T>): Promise<T> {
    return this.signal === undefined ? promise : this.race(promise, this.signal);
  }

  private race<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const waits = waitsUnder(signal);
      if (signal.aborted) reject(cancellation(signal));
      else waits.add(reject);
      promise.then(
        (value) => {
          waits.delete(reject);
          resolve(value);
        },
        (error: unknown) => {
          waits.delete(reject);
          reject(error);
        },
      );
    });
  }

  /** True when it is time to let others run: then `await rest()`. */
  due(): boolean {
    return this.clock.nowMs() - this.since > turnBudgetMs;
  }

  async rest(): Promise<void> {
    await new Promise<void>((resolve) => this.clock.afterTurn(resolve));
    this.since = this.clock.nowMs();
    this.check();
  }
}

/** Counts what a statement holds; sizes are estimates of what V8 needs. */
export class MemoryAccount {
  /** Who can put rows elsewhere does so when the statement holds more. */
  readonly spillAt: number;
  private readonly most: number;
  private used = 0;

  /** @param spillAt leaves room for operators that can put nothing elsewhere */
  constructor(most: number, spillAt: number = most * 0.75) {
    this.most = most;
    this.spillAt = spillAt;
  }

  /** For who can put it elsewhere. @returns false: it should */
  take(bytes: number): boolean {
    this.used += bytes;
    return this.used <= this.spillAt;
  }

  /** Throws 53200. */
  add(bytes: number): void {
    this.used += bytes;
    this.check();
  }

  /** Throws 53200. */
  check(): void {
    if (this.used > this.most)
      throw new SqlError('53200', 'out of memory', {
        detail: `The statement needs more than ${this.most} bytes of working memory.`,
      });
  }

  /** Nobody need put anything elsewhere. */
  get hasRoom(): boolean {
    return this.used <= this.spillAt;
  }

  addRows(rows: readonly (readonly Datum[])[]): void {
    let bytes = 0;
    for (const row of rows) bytes += rowBytes(row);
    this.add(bytes);
  }

  /** What it holds now. Unit: bytes. */
  get held(): number {
    return this.used;
  }

  releaseAll(): void {
    this.used = 0;
  }

  releaseRow(row: readonly Datum[]): void {
    this.used -= rowBytes(row);
  }

  release(bytes: number): void {
    this.used -= bytes;
  }
}

export function rowBytes(row: readonly Datum[]): number {
  let bytes = 32;
  for (const value of row) bytes += datumBytes(value);
  return bytes;
}
