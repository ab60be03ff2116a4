/**
 * The SQL half of the SDK: a template tag whose values are always bound as parameters, never spliced into the text.
 * Each statement is a transaction of its own, in a session of its own; plans are cached by text inside the engine.
 */
import { DbError } from '@flotilla/base';
import { type Oid, SqlError, type SqlSession } from '@flotilla/sql';
import { columnConverter, type SqlParameter, type SqlValue, toDatum } from './sql-values.ts';

export type SqlRow = Readonly<Record<string, SqlValue>>;

export interface SqlColumn {
  readonly name: string;
  readonly typeOid: Oid;
}

export interface SqlResult<Row = SqlRow> {
  /** One object per row, by column name; of columns that share a name the last one wins. [] where none return. */
  readonly rows: readonly Row[];
  /** All columns in order. [] for a statement that returns no rows. */
  readonly columns: readonly SqlColumn[];
  /** PostgreSQL's command tag: `SELECT 2`, `INSERT 0 1`; empty for an empty statement. */
  readonly command: string;
  /** Rows returned or changed, as the command tag says; 0 where it says nothing. */
  readonly rowCount: number;
}

export interface SqlOptions {
  readonly signal?: AbortSignal;
}

/**
 * Errors: SqlError with PostgreSQL's SQLSTATE (a unique violation is 23505, an unknown outcome 40003, anything that is
 * not built 0A000), and DbError INVALID_ARGUMENT or CLOSED for misuse of the call itself.
 */
export interface SqlTag {
  /** Runs one statement: `` await sql`select * from boats where id = ${id}` ``. */
  <Row = SqlRow>(
    strings: TemplateStringsArray,
    ...values: readonly SqlParameter[]
  ): Promise<SqlResult<Row>>;
  /** Runs one statement given as text. The text is trusted: only `parameters` ($1, $2, …) may come from outside. */
  unsafe<Row = SqlRow>(
    text: string,
    parameters?: readonly SqlParameter[],
    options?: SqlOptions,
  ): Promise<SqlResult<Row>>;
}

/** @param createSession a new session per statement, so that statements run side by side; must be cheap */
export function createSqlTag(createSession: () => SqlSession): SqlTag {
  async function unsafe<Row>(
    text: string,
    parameters: readonly SqlParameter[] = [],
    options: SqlOptions = {},
  ): Promise<SqlResult<Row>> {
    const session = createSession();
    try {
      const result = await runStatement<Row>(session, text, parameters, options);
      if (session.transactionStatus !== 'idle')
        throw new DbError(
          'INVALID_ARGUMENT',
          'BEGIN has no effect here, because each statement has a session of its own; see createSession',
        );
      return result;
    } finally {
      session.close();
    }
  }
  async function tag<Row>(
    strings: TemplateStringsArray,
    ...values: readonly SqlParameter[]
  ): Promise<SqlResult<Row>> {
    const text = strings.reduce((before, part, index) => `${before}$${index}${part}`);
    return unsafe<Row>(text, values);
  }
  return Object.assign(tag, { unsafe });
}

export async function runStatement<Row>(
  session: SqlSession,
  text: string,
  parameters: readonly SqlParameter[],
  options: SqlOptions,
): Promise<SqlResult<Row>> {
  const [statement, second] = session.parse(text);
  if (statement === undefined) return { rows: [], columns: [], command: '', rowCount: 0 };
  if (second !== undefined)
    throw new SqlError('42601', 'cannot insert multiple commands into a prepared statement');
  const prepared = await session.prepare(statement, []);
  const types = prepared.parameterTypes;
  if (types.length !== parameters.length)
    throw new DbError(
      'INVALID_ARGUMENT',
      `the statement takes ${types.length} parameters, ${parameters.length} were given`,
    );
  const data = parameters.map((value, index) => toDatum(session, types[index] ?? 0, value));
  const result = await session.execute(prepared, data, options);
  const columns = result.columns ?? [];
  const convert = columns.map((column) => columnConverter(session, column));
  const rows: SqlRow[] = [];
  for await (const batch of result.rows ?? []) {
    for (const datums of batch) {
      const row: Record<string, SqlValue> = {};
      for (const [index, column] of columns.entries())
        row[column.name] = convert[index]?.(datums[index] ?? null) ?? null;
      rows.push(row);
    }
  }
  const command = result.commandTag();
  return {
    // The caller says what its statement returns; nothing here could check it.
    rows: rows as readonly unknown[] as readonly Row[],
    columns: columns.map(({ name, typeOid }) => ({ name, typeOid })),
    command,
    rowCount: Number(/ (\d+)$/.exec(command)?.[1] ?? 0),
  };
}
