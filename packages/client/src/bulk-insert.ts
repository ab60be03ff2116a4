/**
 * Many rows into a table, by the way that COPY takes: batches of rows per INSERT, everything in one transaction, or in
 * several of bounded size. Rows are asked for as they are written, so that a source of any size needs little memory.
 */
import { asBuffer, type Clock, DbError, type Prng } from '@flotilla/base';
import { type CopyIn, type Datum, SqlError, type SqlSession } from '@flotilla/sql';
import { backOff, isConflict } from './retry.ts';
import type { SessionUse, UseSession } from './session-use.ts';
import { type SqlParameter, toDatum } from './sql-values.ts';

/** A row: values in the columns' order as an array, or by column name as a plain object. */
export type BulkRow = readonly SqlParameter[] | object;

export interface BulkInsertOptions {
  /** Which columns the rows have, in order. Default: the keys of the first row, or all columns where it is an array. */
  readonly columns?: readonly string[];
  /**
   * `one`: all rows or none; up to 64 MiB of them. `many`: a transaction for every `rowsPerTransaction`, each of which is
   * run again after a conflict; a failure leaves the rows of those before it. Default: `one`.
   */
  readonly transactions?: 'one' | 'many';
  /** Of `many`: at most so many rows, or 16 MiB, in a transaction. Default: 10,000. */
  readonly rowsPerTransaction?: number;
  /** Of `many`: called after every transaction, with the rows that are committed by now. */
  readonly onCommitted?: (rows: number) => void;
  readonly signal?: AbortSignal;
}

export interface BulkInsertResult {
  /** Inserted. */
  readonly rows: number;
  /** That they were inserted in. */
  readonly transactions: number;
  /** Transactions that were run again after a conflict. */
  readonly retries: number;
}

/** A table's name, or its schema's and its name. Neither is parsed: no quotes are needed. */
export type TableName = string | readonly [schema: string, table: string];

export type RowSource = Iterable<BulkRow> | AsyncIterable<BulkRow>;

const rowsPerTransactionDefault = 10_000;
/** Of rows that wait to be written in one transaction, as `valueBytes` counts them. Unit: bytes. */
const chunkBytesMax = 16 * 1024 * 1024;
/** Rows that are handed to the engine at once. */
const batchRows = 256;
const retriesMax = 10;

export interface BulkParts {
  readonly useSession: UseSession;
  readonly clock: Clock;
  /** For jitter of retries. */
  readonly prng: Prng;
  /** False within a transaction, which is the one. */
  readonly mayCommit: boolean;
}

/**
 * @throws SqlError as INSERT does, with `fields.where` = `COPY table, line N` (rows count from 1; of `many`: within its
 * transaction), 54000 where one transaction would be too large; DbError INVALID_ARGUMENT: rows and columns do not fit;
 * what `rows` throws
 */
export async function bulkInsert(
  parts: BulkParts,
  table: TableName,
  rows: RowSource,
  options: BulkInsertOptions = {},
): Promise<BulkInsertResult> {
  const { transactions = 'one', rowsPerTransaction = rowsPerTransactionDefault } = options;
  if (!(Number.isSafeInteger(rowsPerTransaction) && rowsPerTransaction > 0))
    throw new DbError('INVALID_ARGUMENT', 'rowsPerTransaction is a safe integer > 0');
  if (transactions === 'many' && !parts.mayCommit)
    throw new DbError('INVALID_ARGUMENT', 'a transaction is one: many of them need the client');
  const load = new BulkLoad(parts, table, options);
  if (transactions === 'one') return load.inOne(rows);
  return load.inMany(rows, rowsPerTransaction);
}

class BulkLoad {
  private readonly parts: BulkParts;
  private readonly table: TableName;
  private readonly options: BulkInsertOptions;

  constructor(parts: BulkParts, table: TableName, options: BulkInsertOptions) {
    this.parts = parts;
    this.table = table;
    this.options = options;
  }

  async inOne(rows: RowSource): Promise<BulkInsertResult> {
    const head = await headOf(rows);
    if (head === undefined) return { rows: 0, transactions: 0, retries: 0 };
    const columns = this.columnsOf(head.first);
    return { rows: await this.copy(columns, batchesOf(head.all)), transactions: 1, retries: 0 };
  }

  async inMany(rows: RowSource, rowsMax: number): Promise<BulkInsertResult> {
    let columns: readonly string[] | undefined;
    let [inserted, transactions, retries] = [0, 0, 0];
    for await (const chunk of chunksOf(rows, rowsMax)) {
      const [first] = chunk;
      if (first === undefined) continue;
      columns ??= this.columnsOf(first);
      for (let retry = 0; ; retry++) {
        try {
          inserted += await this.copy(columns, batchesOf(chunk));
          break;
        } catch (error) {
          if (retry >= retriesMax || !isConflict(error) || this.options.signal?.aborted)
            throw error;
          retries++;
        }
        await backOff(this.parts, retry);
      }
      transactions++;
      this.options.onCommitted?.(inserted);
    }
    return { rows: inserted, transactions, retries };
  }

  private columnsOf(first: BulkRow): readonly string[] {
    return this.options.columns ?? (isArrayRow(first) ? [] : Object.keys(first));
  }

  /** One COPY: a transaction, or a part of the one that is open. @returns rows */
  private async copy(
    columns: readonly string[],
    batches: AsyncIterable<readonly BulkRow[]>,
  ): Promise<number> {
    const use = this.parts.useSession();
    try {
      return await use.turn(() => this.copyWithin(use, columns, batches));
    } finally {
      use.end();
    }
  }

  private async copyWithin(
    { session }: SessionUse,
    columns: readonly string[],
    batches: AsyncIterable<readonly BulkRow[]>,
  ): Promise<number> {
    const { signal } = this.options;
    const [statement] = session.parse(copyText(this.table, columns));
    if (statement === undefined) throw new SqlError('XX000', 'COPY is a statement');
    const result = await session.execute(await session.prepare(statement, []), []);
    const { copyIn } = result;
    if (copyIn === undefined) throw new SqlError('XX000', 'COPY FROM STDIN takes data');
    const source = new DatumSource({ session, copyIn, columns, batches });
    try {
      await copyIn.loadRows(source, signal === undefined ? {} : { signal });
    } catch (error) {
      // What the caller's own rows threw is the caller's, whatever the engine makes of it.
      throw source.failure?.error ?? error;
    }
    return Number(/ (\d+)$/.exec(result.commandTag())?.[1] ?? 0);
  }
}

/** The caller's rows as the engine's values. */
class DatumSource implements AsyncIterable<readonly (readonly Datum[])[]> {
  failure: { readonly error: unknown } | undefined;
  private readonly session: SqlSession;
  private readonly copyIn: CopyIn;
  private readonly names: readonly string[];
  private readonly batches: AsyncIterable<readonly BulkRow[]>;
  private count = 0;

  constructor(parts: {
    readonly session: SqlSession;
    readonly copyIn: CopyIn;
    readonly columns: readonly string[];
    readonly batches: AsyncIterable<readonly BulkRow[]>;
  }) {
    this.session = parts.session;
    this.copyIn = parts.copyIn;
    this.names = parts.copyIn.columns.map(({ name }) => name);
    this.batches = parts.batches;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly (readonly Datum[])[], void, undefined> {
    try {
      for await (const batch of this.batches) yield batch.map((row) => this.datums(row));
    } catch (error) {
      this.failure = { error };
      throw error;
    }
  }

  private datums(row: BulkRow): readonly Datum[] {
    const line = ++this.count;
    const values = isArrayRow(row) ? row : this.byName(row, line);
    const { columns } = this.copyIn;
    if (values.length !== columns.length)
      throw new DbError(
        'INVALID_ARGUMENT',
        `row ${line} has ${values.length} values for ${columns.length} columns`,
      );
    return columns.map(({ typeOid, name }, index) => {
      try {
        return toDatum(this.session, typeOid, values[index] ?? null);
      } catch (error) {
        if (!(error instanceof SqlError)) throw error;
        const where = `row ${line}, column ${name}`;
        throw new SqlError(error.code, error.message, { ...error.fields, where });
      }
    });
  }

  /** A key that no column has would be lost in silence; a column without a key is NULL. */
  private byName(row: object, line: number): readonly SqlParameter[] {
    const values = new Map<string, SqlParameter | undefined>(Object.entries(row));
    for (const key of values.keys())
      if (!this.names.includes(key))
        throw new DbError('INVALID_ARGUMENT', `row ${line} has "${key}", which is no column here`);
    return this.names.map((name) => values.get(name) ?? null);
  }
}

function isArrayRow(row: BulkRow): row is readonly SqlParameter[] {
  return Array.isArray(row);
}

function copyText(table: TableName, columns: readonly string[]): string {
  const name = typeof table === 'string' ? quote(table) : table.map(quote).join('.');
  const list = columns.length === 0 ? '' : ` (${columns.map(quote).join(', ')})`;
  return `COPY ${name}${list} FROM STDIN`;
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The first row, and all of them, the first included. Undefined: there is none. */
async function headOf(
  rows: RowSource,
): Promise<{ readonly first: BulkRow; readonly all: AsyncIterable<BulkRow> } | undefined> {
  const iterator =
    Symbol.asyncIterator in rows ? rows[Symbol.asyncIterator]() : rows[Symbol.iterator]();
  const head = await iterator.next();
  if (head.done === true) return undefined;
  const first = head.value;
  const all = async function* (): AsyncGenerator<BulkRow, void, undefined> {
    let ended = false;
    try {
      yield first;
      for (;;) {
        const next = await iterator.next();
        if (next.done === true) break;
        yield next.value;
      }
      ended = true;
    } finally {
      if (!ended) await iterator.return?.();
    }
  };
  return { first, all: all() };
}

async function* batchesOf(rows: RowSource): AsyncGenerator<readonly BulkRow[], void, undefined> {
  yield* chunksOf(rows, batchRows);
}

async function* chunksOf(
  rows: RowSource,
  rowsMax: number,
): AsyncGenerator<readonly BulkRow[], void, undefined> {
  let chunk: BulkRow[] = [];
  let bytes = 0;
  for await (const row of rows) {
    chunk.push(row);
    bytes += rowBytes(row);
    if (chunk.length < rowsMax && bytes < chunkBytesMax) continue;
    yield chunk;
    chunk = [];
    bytes = 0;
  }
  if (chunk.length > 0) yield chunk;
}

function rowBytes(row: BulkRow): number {
  let bytes = 16;
  for (const value of isArrayRow(row) ? row : Object.values(row)) bytes += valueBytes(value);
  return bytes;
}

/** About what a value takes. Unit: bytes. */
function valueBytes(value: SqlParameter | undefined): number {
  if (typeof value === 'string') return value.length;
  if (value instanceof Uint8Array) return asBuffer(value).length;
  if (Array.isArray(value)) return value.reduce((sum: number, each) => sum + valueBytes(each), 16);
  return 16;
}
