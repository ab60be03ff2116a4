/** How statements are run: what the tag, prepared statements and adapters stand on. */
import type { UseSession } from './session-use.ts';
import type { SqlParameter, SqlValue } from './sql-values.ts';
import {
  runStatement,
  type SqlColumn,
  type StatementOptions,
  type StatementSource,
  streamStatement,
} from './statement.ts';

export type SqlRow = Readonly<Record<string, SqlValue>>;

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

/** How statements are run here. */
export interface SqlExecutor {
  run<Row>(
    source: StatementSource,
    parameters: readonly SqlParameter[],
    options: StatementOptions,
  ): Promise<SqlResult<Row>>;
  stream<Row>(
    source: StatementSource,
    parameters: readonly SqlParameter[],
    options: StatementOptions,
  ): AsyncIterableIterator<Row>;
}

/** Where `PreparedSql.with` finds what a tag runs statements with. */
export const executorKey: unique symbol = Symbol('executor');

export interface HasExecutor {
  readonly [executorKey]: SqlExecutor;
}

export function sessionExecutor(useSession: UseSession): SqlExecutor {
  return {
    async run<Row>(
      source: StatementSource,
      parameters: readonly SqlParameter[],
      options: StatementOptions,
    ): Promise<SqlResult<Row>> {
      const { rows, columns, command } = await runStatement(
        useSession,
        source,
        parameters,
        options,
      );
      return {
        // The caller says what its statement returns; nothing here could check it.
        rows: rows as readonly Row[],
        columns,
        command,
        rowCount: Number(/ (\d+)$/.exec(command)?.[1] ?? 0),
      };
    },
    async *stream<Row>(
      source: StatementSource,
      parameters: readonly SqlParameter[],
      options: StatementOptions,
    ): AsyncGenerator<Row, void, undefined> {
      for await (const batch of streamStatement(useSession, source, parameters, options))
        yield* batch as readonly Row[];
    },
  };
}
