/**
 * One statement of the SDK: its parameters to the engine's values, its rows to JavaScript's. Rows come in batches, as the
 * engine makes them; the next batch is asked for when the last one has been taken.
 */
import { DbError } from '@flotilla/base';
import {
  type Datum,
  type Oid,
  type ParsedStatement,
  SqlError,
  type SqlSession,
  type StatementResult,
} from '@flotilla/sql';
import type { SessionUse, UseSession } from './session-use.ts';
import { columnConverter, type ParseType, type SqlParameter, toDatum } from './sql-values.ts';

export interface SqlColumn {
  readonly name: string;
  readonly typeOid: Oid;
}

export interface SqlOptions {
  /** Ends the statement: SqlError 57014. */
  readonly signal?: AbortSignal | undefined;
  /** How values of some types come. Default: as in docs/sdk.md. */
  readonly parseType?: ParseType | undefined;
  /**
   * `objects`: by column name; of columns that share a name the last one wins. `arrays`: in the columns' order, for those who
   * map them themselves. Default: `objects`.
   */
  readonly rowMode?: 'objects' | 'arrays' | undefined;
}

/** What the caller says, and what whoever looks at its statements wants to hear. */
export interface StatementOptions extends SqlOptions {
  /** Hears how often the engine has run the statement again; of a stream, once for each batch that it happened to. */
  readonly onRetries?: ((count: number) => void) | undefined;
}

/** A statement's text, or what `parse` made of it once for all runs. */
export type StatementSource = string | ParsedStatement;

export interface Outcome {
  readonly rows: readonly unknown[];
  readonly columns: readonly SqlColumn[];
  /** PostgreSQL's command tag; empty for an empty statement. */
  readonly command: string;
}

/** Runs a statement to its end, all rows in memory. @throws SqlError; DbError INVALID_ARGUMENT, CLOSED */
export async function runStatement(
  useSession: UseSession,
  source: StatementSource,
  parameters: readonly SqlParameter[],
  options: StatementOptions = {},
): Promise<Outcome> {
  const use = useSession();
  try {
    return await countedTurn(use, options, async () => {
      const running = await start(use.session, source, parameters, options);
      if (running === undefined) return { rows: [], columns: [], command: '' };
      const { result, columns, convert } = running;
      const rows: unknown[] = [];
      if (result.allRows !== undefined)
        for (const datums of result.allRows) rows.push(convert(datums));
      else
        for await (const batch of result.rows ?? [])
          for (const datums of batch) rows.push(convert(datums));
      use.check();
      return { rows, columns, command: result.commandTag() };
    });
  } finally {
    use.end();
  }
}

/**
 * Runs a statement and gives its rows batch by batch. Nothing happens before the first is asked for; whoever stops early
 * (`break`, `return`) ends the statement. @throws as `runStatement`
 */
export async function* streamStatement(
  useSession: UseSession,
  source: StatementSource,
  parameters: readonly SqlParameter[],
  options: StatementOptions = {},
): AsyncGenerator<readonly unknown[], void, undefined> {
  const use = useSession();
  let batches: AsyncIterator<readonly (readonly Datum[])[]> | undefined;
  let ended = false;
  try {
    const running = await countedTurn(use, options, () =>
      start(use.session, source, parameters, options),
    );
    if (running === undefined) return;
    const { result, convert } = running;
    batches = result.rows?.[Symbol.asyncIterator]();
    for (;;) {
      const next = await nextOf(use, batches, options);
      if (next === undefined) break;
      yield next.map(convert);
    }
    ended = true;
    use.check();
  } finally {
    const rest = batches;
    if (!ended && rest?.return !== undefined)
      await use.turn(async () => void (await rest.return?.()));
    use.end();
  }
}

async function nextOf(
  use: SessionUse,
  batches: AsyncIterator<readonly (readonly Datum[])[]> | undefined,
  options: StatementOptions,
): Promise<readonly (readonly Datum[])[] | undefined> {
  if (batches === undefined) return undefined;
  const next = await countedTurn(use, options, () => batches.next());
  return next.done === true ? undefined : next.value;
}

/** A turn of the session, and how often the engine ran something again in it. */
function countedTurn<Result>(
  use: SessionUse,
  { onRetries }: StatementOptions,
  work: () => Promise<Result>,
): Promise<Result> {
  if (onRetries === undefined) return use.turn(work);
  return use.turn(async () => {
    const before = use.retries.count;
    try {
      return await work();
    } finally {
      const retries = use.retries.count - before;
      if (retries > 0) onRetries(retries);
    }
  });
}

interface Started {
  readonly result: StatementResult;
  readonly columns: readonly SqlColumn[];
  readonly convert: (datums: readonly Datum[]) => unknown;
}

/** @returns undefined for an empty text */
async function start(
  session: SqlSession,
  source: StatementSource,
  parameters: readonly SqlParameter[],
  options: StatementOptions,
): Promise<Started | undefined> {
  const statement = typeof source === 'string' ? parseOne(session, source) : source;
  if (statement === undefined) return undefined;
  const prepared = await session.prepare(statement, []);
  const types = prepared.parameterTypes;
  if (types.length !== parameters.length)
    throw new DbError(
      'INVALID_ARGUMENT',
      `the statement takes ${types.length} parameters, ${parameters.length} were given`,
    );
  const data = parameters.map((value, index) => toDatum(session, types[index] ?? 0, value));
  const { signal, parseType, rowMode } = options;
  const result = await session.execute(prepared, data, signal === undefined ? {} : { signal });
  if (result.copyIn !== undefined || result.copyOut !== undefined)
    throw new DbError('INVALID_ARGUMENT', 'COPY is not for here: see bulkInsert, and streams');
  const columns = (result.columns ?? []).map(({ name, typeOid }) => ({ name, typeOid }));
  const converters = columns.map((column) => columnConverter(session, column, parseType));
  const names = columns.map(({ name }) => name);
  const values = (datums: readonly Datum[]): unknown[] =>
    converters.map((convert, index) => convert(datums[index] ?? null));
  const object = (datums: readonly Datum[]): unknown => {
    const row: Record<string, unknown> = {};
    for (let index = 0; index < names.length; index++)
      row[names[index] ?? ''] = converters[index]?.(datums[index] ?? null);
    return row;
  };
  const convert = rowMode === 'arrays' ? values : object;
  return { result, columns, convert };
}

/** @throws SqlError 42601 for a text of several statements */
export function parseOne(session: SqlSession, text: string): ParsedStatement | undefined {
  const [statement, second] = session.parse(text);
  if (second !== undefined)
    throw new SqlError('42601', 'cannot insert multiple commands into a prepared statement');
  return statement;
}
