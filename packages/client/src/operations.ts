/**
 * What an operation came to, for the user's own metrics: one call of a function that the user gives, after each operation.
 * Nothing is counted here. A function that throws is logged and not called less for it: it cannot fail an operation.
 */
import { type Clock, DbError, type Logger } from '@flotilla/base';
import { SqlError } from '@flotilla/sql';
import type { Kv, KvEntry, KvScanOptions } from './kv.ts';
import type { SqlExecutor } from './sql-executor.ts';

export type OperationName =
  | 'kv.get'
  | 'kv.getMany'
  | 'kv.put'
  | 'kv.delete'
  | 'kv.update'
  | 'kv.scan'
  | 'sql'
  | 'sql.stream'
  | 'bulkInsert'
  | 'transaction';

export interface OperationReport {
  readonly operation: OperationName;
  /** From the call to its end; of a stream or scan from its first row being asked for. Unit: ms, with fractions. */
  readonly durationMs: number;
  /** `unknown`: a write may have been made. `stopped`: the reader of a stream wanted no more. */
  readonly outcome: 'ok' | 'failed' | 'unknown' | 'stopped';
  /** Of what failed: the code of a DbError, or the SQLSTATE. Undefined: an error of the caller's own. */
  readonly code?: string;
  /** How often it was run again from its start because others were in its way. Not what the router sent again. */
  readonly retries: number;
  /** Returned, changed or inserted. */
  readonly rows?: number;
  /** Of SQL: the statement, without its parameters. */
  readonly text?: string;
}

export type OnOperation = (report: OperationReport) => void;

/** What an operation says of itself while it runs. */
export interface OperationNotes {
  retries: number;
  rows: number | undefined;
}

export class OperationObserver {
  private readonly clock: Clock;
  private readonly onOperation: OnOperation;
  private readonly logger: Logger;

  constructor(clock: Clock, onOperation: OnOperation, logger: Logger) {
    this.clock = clock;
    this.onOperation = onOperation;
    this.logger = logger;
  }

  async run<Result>(
    operation: OperationName,
    work: (notes: OperationNotes) => Promise<Result>,
    text?: string,
  ): Promise<Result> {
    const notes: OperationNotes = { retries: 0, rows: undefined };
    const begun = this.clock.nowMs();
    let failure: { readonly error: unknown } | undefined;
    try {
      return await work(notes);
    } catch (error) {
      failure = { error };
      throw error;
    } finally {
      this.tell(operation, begun, { notes, text, failure, stopped: false });
    }
  }

  async *stream<Row>(
    operation: OperationName,
    open: (onRetries: (count: number) => void) => AsyncIterable<Row>,
    text?: string,
  ): AsyncGenerator<Row, void, undefined> {
    const begun = this.clock.nowMs();
    const notes = { retries: 0, rows: 0 };
    const rows = open((count) => {
      notes.retries += count;
    });
    let failure: { readonly error: unknown } | undefined;
    let stopped = true;
    try {
      for await (const row of rows) {
        notes.rows++;
        yield row;
      }
      stopped = false;
    } catch (error) {
      stopped = false;
      failure = { error };
      throw error;
    } finally {
      this.tell(operation, begun, { notes, text, failure, stopped });
    }
  }

  private tell(
    operation: OperationName,
    begun: number,
    end: {
      readonly notes: OperationNotes;
      readonly text: string | undefined;
      readonly failure: { readonly error: unknown } | undefined;
      readonly stopped: boolean;
    },
  ): void {
    const { notes, text, failure, stopped } = end;
    const code = failure === undefined ? undefined : codeOf(failure.error);
    const report: OperationReport = {
      operation,
      durationMs: this.clock.nowMs() - begun,
      outcome: failure === undefined ? (stopped ? 'stopped' : 'ok') : outcomeOf(failure.error),
      retries: notes.retries,
      ...(code === undefined ? {} : { code }),
      ...(notes.rows === undefined ? {} : { rows: notes.rows }),
      ...(text === undefined ? {} : { text }),
    };
    try {
      this.onOperation(report);
    } catch (error) {
      this.logger.warn({ error: String(error), operation }, 'on_operation_failed');
    }
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof SqlError || error instanceof DbError ? error.code : undefined;
}

function outcomeOf(error: unknown): 'failed' | 'unknown' {
  const unknown =
    (error instanceof SqlError && error.code === '40003') ||
    (error instanceof DbError && error.outcome === 'unknown');
  return unknown ? 'unknown' : 'failed';
}

export function observedExecutor(executor: SqlExecutor, observer: OperationObserver): SqlExecutor {
  const textOf = (source: Parameters<SqlExecutor['run']>[0]): string =>
    typeof source === 'string' ? source : source.text;
  return {
    run: (source, parameters, options) =>
      observer.run(
        'sql',
        async (notes) => {
          const onRetries = (count: number): void => {
            notes.retries += count;
          };
          const result = await executor.run<never>(source, parameters, { ...options, onRetries });
          notes.rows = result.rowCount;
          return result;
        },
        textOf(source),
      ),
    stream: (source, parameters, options) =>
      observer.stream(
        'sql.stream',
        (onRetries) => executor.stream<never>(source, parameters, { ...options, onRetries }),
        textOf(source),
      ),
  };
}

export function observedKv(kv: Kv, observer: OperationObserver): Kv {
  return {
    get: (key, options) => observer.run('kv.get', () => kv.get(key, options)),
    getMany: (keys, options) => observer.run('kv.getMany', () => kv.getMany(keys, options)),
    put: (key, value, options) => observer.run('kv.put', () => kv.put(key, value, options)),
    delete: (key, options) => observer.run('kv.delete', () => kv.delete(key, options)),
    update: (key, change, options) =>
      observer.run('kv.update', async (notes) => {
        let runs = 0;
        const counted = (entry: KvEntry | undefined): ReturnType<typeof change> => {
          notes.retries = runs++;
          return change(entry);
        };
        return kv.update(key, counted, options);
      }),
    scan: (options?: KvScanOptions) => observer.stream('kv.scan', () => kv.scan(options)),
  };
}
