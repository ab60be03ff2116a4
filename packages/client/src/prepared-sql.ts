/**
 * A statement that is parsed and planned once and run many times. It holds the syntax tree, by which the engine finds the
 * plan that it made of it; the plan itself belongs to nobody, so that any session can run it and none has a stale one.
 */
import { DbError } from '@flotilla/base';
import type { Oid, ParsedStatement } from '@flotilla/sql';
import type { SessionUse, UseSession } from './session-use.ts';
import { executorKey, type HasExecutor, type SqlExecutor, type SqlResult } from './sql-executor.ts';
import type { SqlParameter } from './sql-values.ts';
import { parseOne, type SqlColumn, type SqlOptions } from './statement.ts';

/** Types of $1, $2, … in order. */
export type Params = readonly SqlParameter[];

interface Facts {
  readonly text: string;
  readonly statement: ParsedStatement;
  readonly columns: readonly SqlColumn[];
  readonly parameterTypes: readonly Oid[];
}

export class PreparedSql<Row, Parameters extends Params = Params> {
  private readonly facts: Facts;
  private readonly executor: SqlExecutor;
  private readonly options: SqlOptions;

  constructor(facts: Facts, executor: SqlExecutor, options: SqlOptions) {
    this.facts = facts;
    this.executor = executor;
    this.options = options;
  }

  get text(): string {
    return this.facts.text;
  }

  /** As they were when it was prepared; [] for a statement that returns no rows. */
  get columns(): readonly SqlColumn[] {
    return this.facts.columns;
  }

  /** Types of $1, $2, …, as the statement has them. */
  get parameterTypes(): readonly Oid[] {
    return this.facts.parameterTypes;
  }

  /** Errors: those of `sql`. */
  run(...parameters: Parameters): Promise<SqlResult<Row>> {
    return this.executor.run<Row>(this.facts.statement, parameters, this.options);
  }

  /** Rows as they come: see `SqlTag.stream`. */
  stream(...parameters: Parameters): AsyncIterableIterator<Row> {
    return this.executor.stream<Row>(this.facts.statement, parameters, this.options);
  }

  /** The same statement in a transaction or on a connection (`sql`: theirs), or with other options. */
  with(options: SqlOptions & { readonly sql?: HasExecutor }): PreparedSql<Row, Parameters> {
    const { sql, ...rest } = options;
    const executor = sql?.[executorKey] ?? this.executor;
    return new PreparedSql(this.facts, executor, { ...this.options, ...rest });
  }
}

export async function prepareSql<Row, Parameters extends Params>(
  useSession: UseSession,
  parts: { readonly text: string; readonly executor: SqlExecutor; readonly options: SqlOptions },
): Promise<PreparedSql<Row, Parameters>> {
  const { text, executor, options } = parts;
  const use = useSession();
  try {
    return new PreparedSql(await use.turn(() => factsOf(use, text)), executor, options);
  } finally {
    use.end();
  }
}

async function factsOf({ session }: SessionUse, text: string): Promise<Facts> {
  const statement = parseOne(session, text);
  if (statement === undefined)
    throw new DbError('INVALID_ARGUMENT', 'there is no statement in the text');
  const { columns = [], parameterTypes } = await session.prepare(statement, []);
  return {
    ...{ text, statement, parameterTypes },
    columns: columns.map(({ name, typeOid }) => ({ name, typeOid })),
  };
}
