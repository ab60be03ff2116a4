/**
 * COPY FROM: takes what the client sends as it comes, and writes it in batches of rows. Called by the session, which
 * prepares and runs the INSERT of a batch and opens the transaction that all batches lie in.
 */
import { copyBatchParameters, copyBatchRows } from '../limits.ts';
import type { ColumnDescription, CopySource, Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { BinaryReader, type BinaryRow } from './binary-copy.ts';
import type { CopyOptions } from './copy-options.ts';
import { type CopyLine, CopyReader } from './copy-reader.ts';

export interface CopyTarget {
  readonly table: string;
  readonly columns: readonly ColumnDescription[];
  decode(typeOid: number, text: string): Datum;
  /** Of binary data. */
  receive(typeOid: number, bytes: Uint8Array): Datum;
  /** Writes rows, all of them or none. */
  insert(values: readonly Datum[], rows: number): Promise<void>;
}

/** @returns the number of rows */
export async function copyIn(
  source: CopySource,
  options: CopyOptions,
  target: CopyTarget,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { columns } = target;
  const reader = options.binary
    ? new BinaryReader(columns.length)
    : new CopyReader(
        options,
        columns.map(({ name }) => name),
      );
  const loader = new Loader(target);
  let reading = true;
  try {
    for (;;) {
      reading = true;
      const chunk = await source.read(signal);
      reading = false;
      for (const line of chunk === undefined ? reader.finish() : reader.push(chunk)) {
        loader.add(line);
        if (loader.full) await loader.write();
      }
      if (chunk === undefined) break;
    }
  } catch (error) {
    if (!(error instanceof SqlError) || error.fields.where !== undefined) throw error;
    // The line that would have come next, or the one that cannot even be cut up.
    const line = reading ? reader.line + 1 : Math.max(reader.line, 1);
    throw located(error, `COPY ${target.table}, line ${line}`);
  }
  await loader.write();
  return loader.written;
}

/** The same of rows that are values already. @returns the number of rows */
export async function copyRowsIn(
  source: AsyncIterable<readonly (readonly Datum[])[]>,
  target: CopyTarget,
): Promise<number> {
  const loader = new Loader(target);
  let number = 0;
  for await (const rows of source)
    for (const values of rows) {
      loader.addValues(++number, values);
      if (loader.full) await loader.write();
    }
  await loader.write();
  return loader.written;
}

class Loader {
  private readonly target: CopyTarget;
  private readonly rowsMax: number;
  private values: Datum[] = [];
  private rows = 0;
  private first = 0;
  private last = 0;
  written = 0;

  constructor(target: CopyTarget) {
    this.target = target;
    const columns = Math.max(1, target.columns.length);
    this.rowsMax = Math.max(1, Math.min(copyBatchRows, Math.floor(copyBatchParameters / columns)));
  }

  get full(): boolean {
    return this.rows >= this.rowsMax;
  }

  add(line: CopyLine | BinaryRow): void {
    if ('text' in line) this.addText(line);
    else this.addBinary(line);
    this.added(line.number);
  }

  addValues(number: number, values: readonly Datum[]): void {
    const { columns, table } = this.target;
    if (values.length !== columns.length)
      throw new SqlError(
        '22P04',
        `a row has ${values.length} values for ${columns.length} columns`,
        {
          where: `COPY ${table}, line ${number}`,
        },
      );
    this.values.push(...values);
    this.added(number);
  }

  private added(number: number): void {
    if (this.rows++ === 0) this.first = number;
    this.last = number;
  }

  private addBinary({ number, fields }: BinaryRow): void {
    const { columns, table } = this.target;
    for (const [index, column] of columns.entries()) {
      const bytes = fields[index] ?? null;
      try {
        this.values.push(bytes === null ? null : this.target.receive(column.typeOid, bytes));
      } catch (error) {
        if (!(error instanceof SqlError)) throw error;
        throw located(error, `COPY ${table}, line ${number}, column ${column.name}`);
      }
    }
  }

  private addText(line: CopyLine): void {
    const { columns, table } = this.target;
    const at = `COPY ${table}, line ${line.number}`;
    const { fields } = line;
    const missing = columns[fields.length];
    if (missing !== undefined)
      throw new SqlError('22P04', `missing data for column "${missing.name}"`, {
        where: `${at}: "${shorten(line.text)}"`,
      });
    if (fields.length > columns.length)
      throw new SqlError('22P04', 'extra data after last expected column', {
        where: `${at}: "${shorten(line.text)}"`,
      });
    for (const [index, column] of columns.entries()) {
      const text = fields[index] ?? null;
      try {
        this.values.push(text === null ? null : this.target.decode(column.typeOid, text));
      } catch (error) {
        if (!(error instanceof SqlError)) throw error;
        throw located(error, `${at}, column ${column.name}: "${shorten(text ?? '')}"`);
      }
    }
  }

  async write(): Promise<void> {
    if (this.rows === 0) return;
    const { values, rows, first, last } = this;
    this.values = [];
    this.rows = 0;
    try {
      await this.target.insert(values, rows);
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      const lines = first === last ? `line ${first}` : `lines ${first} to ${last}`;
      throw located(error, `COPY ${this.target.table}, ${lines}`);
    }
    this.written += rows;
  }
}

function located(error: SqlError, where: string): SqlError {
  return new SqlError(error.code, error.message, { ...error.fields, where }, error.severity);
}

/** As PostgreSQL quotes data in errors. */
function shorten(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 100)}...`;
}
