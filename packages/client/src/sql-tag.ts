/**
 * The SQL half of the SDK: a template tag whose values are always bound as parameters, never spliced into the text. The
 * same for single statements, connections and transactions; they differ in the session that statements run in.
 */
import { type Params, type PreparedSql, prepareSql } from './prepared-sql.ts';
import type { UseSession } from './session-use.ts';
import {
  executorKey,
  type HasExecutor,
  type SqlExecutor,
  type SqlResult,
  type SqlRow,
} from './sql-executor.ts';
import type { SqlParameter } from './sql-values.ts';
import type { SqlOptions } from './statement.ts';

/**
 * Errors: SqlError with PostgreSQL's SQLSTATE (a unique violation is 23505, an unknown outcome 40003, anything that is
 * not built 0A000), and DbError INVALID_ARGUMENT or CLOSED for misuse of the call itself.
 */
export interface SqlTag extends HasExecutor {
  /** Runs one statement: `` await sql`select * from boats where id = ${id}` ``. All its rows are in memory. */
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
  /**
   * Rows as they come, for results of any size: one batch is in memory, and the next is fetched when it has been read.
   * Nothing happens before the first is asked for. `break` ends the statement.
   */
  stream<Row = SqlRow>(
    strings: TemplateStringsArray,
    ...values: readonly SqlParameter[]
  ): AsyncIterableIterator<Row>;
  /** The same for a text, as `unsafe`. */
  unsafeStream<Row = SqlRow>(
    text: string,
    parameters?: readonly SqlParameter[],
    options?: SqlOptions,
  ): AsyncIterableIterator<Row>;
  /**
   * A statement to be run many times: parsed and planned once, its columns and parameters known. Not bound to a session;
   * a plan that a change of the schema has made stale is made anew. @throws SqlError: what planning it throws
   */
  prepare<Row = SqlRow, Parameters extends Params = Params>(
    text: string,
    options?: SqlOptions,
  ): Promise<PreparedSql<Row, Parameters>>;
}

/** @param useSession where `prepare` asks what a text is; statements run by `executor` */
export function createSqlTag(useSession: UseSession, executor: SqlExecutor): SqlTag {
  const tag: SqlTag = Object.assign(
    <Row>(strings: TemplateStringsArray, ...values: readonly SqlParameter[]) =>
      executor.run<Row>(textOf(strings), values, {}),
    {
      [executorKey]: executor,
      unsafe: <Row>(text: string, parameters: readonly SqlParameter[] = [], options = {}) =>
        executor.run<Row>(text, parameters, options),
      stream: <Row>(strings: TemplateStringsArray, ...values: readonly SqlParameter[]) =>
        executor.stream<Row>(textOf(strings), values, {}),
      unsafeStream: <Row>(text: string, parameters: readonly SqlParameter[] = [], options = {}) =>
        executor.stream<Row>(text, parameters, options),
      prepare: <Row, Parameters extends Params>(text: string, options: SqlOptions = {}) =>
        prepareSql<Row, Parameters>(useSession, { text, executor, options }),
    },
  );
  return tag;
}

/** The values' places as parameters. */
function textOf(strings: TemplateStringsArray): string {
  return strings.reduce((before, part, index) => `${before}$${index}${part}`);
}
