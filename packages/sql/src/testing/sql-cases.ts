/**
 * Files of cases: statements with what PostgreSQL 15 answers. Blank lines part the cases; `----` parts a statement from
 * its answer; `$ […]` holds parameters in text form; `# ` begins a comment. What is said of the transaction afterwards is
 * `STATUS T` or `STATUS E`. `testdata/record.mjs` writes the answers.
 */

import type { ColumnDescription, Datum, Notice, SqlSession } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';

export interface SqlCase {
  readonly sql: string;
  readonly parameters: readonly (string | null)[] | undefined;
  readonly expected: string;
}

export function readSqlCases(text: string): SqlCase[] {
  return text.split(/\n\n+/).flatMap((block) => {
    const lines = block.trim().split('\n');
    const end = lines.indexOf('----');
    if (end < 0) return [];
    const input = lines.slice(0, end).filter((line) => !line.startsWith('# '));
    const parameters = input.find((line) => line.startsWith('$ '));
    return {
      sql: input.filter((line) => !line.startsWith('$ ')).join('\n'),
      parameters:
        parameters === undefined
          ? undefined
          : (JSON.parse(parameters.slice(2)) as (string | null)[]),
      expected: lines.slice(end + 1).join('\n'),
    };
  });
}

/** Runs one case in a session and writes the answer as the files have it. */
export async function answerSqlCase(
  session: SqlSession,
  one: SqlCase,
  notices: Notice[],
): Promise<string> {
  notices.length = 0;
  let lines: string[];
  try {
    lines = [];
    const statements = session.parse(one.sql);
    for (const statement of statements) {
      if (statements.length > 1) session.beginImplicit('query');
      const prepared = await session.prepare(statement, []);
      const parameters = (one.parameters ?? []).map(
        (value, i): Datum =>
          value === null
            ? null
            : session.decode(prepared.parameterTypes[i] ?? 0, 0, Buffer.from(value, 'utf8')),
      );
      const result = await session.execute(prepared, parameters);
      const rows: string[] = [];
      for await (const batch of result.rows ?? [])
        for (const row of batch) rows.push(shownRow(session, row, result.columns ?? []));
      if (result.columns === undefined) lines.push(result.commandTag());
      else lines.push(head(result.columns), ...rows);
    }
    await session.endImplicit({ commit: true });
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    lines = failure(error);
  }
  if (session.transactionStatus !== 'idle')
    lines.push(`STATUS ${session.transactionStatus === 'active' ? 'T' : 'E'}`);
  return [
    ...notices.map(({ severity, code, message }) => `${severity} ${code} ${message}`),
    ...lines,
  ]
    .join('\n')
    .trimEnd();
}

function head(columns: readonly ColumnDescription[]): string {
  const shown = columns.map(({ name, typeOid, typeModifier }) =>
    typeModifier === -1
      ? `${name}:${shownType(typeOid)}`
      : `${name}:${shownType(typeOid)}/${typeModifier}`,
  );
  return `(${shown.join('|')})`;
}

/** Types that a user made have another oid each time. */
function shownType(oid: number): string {
  return oid < 16_384 ? String(oid) : 'own';
}

function shownRow(
  session: SqlSession,
  row: readonly Datum[],
  columns: readonly ColumnDescription[],
): string {
  const values = row.map((value, i) => {
    const bytes = session.encode(columns[i]?.typeOid ?? 0, 0, value);
    if (bytes === null) return '∅';
    return Buffer.from(bytes)
      .toString('utf8')
      .replaceAll('\\', '\\\\')
      .replaceAll('\n', '\\n')
      .replaceAll('|', '\\|');
  });
  return values.join('|');
}

function failure(error: SqlError): string[] {
  const { detail, position, schema, table, column, constraint } = error.fields;
  const where = Object.entries({ schema, table, column, constraint })
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => `${field}=${value}`);
  return [
    `ERROR ${error.code}${position === undefined ? '' : ` @${position}`} ${error.message}`,
    ...(detail === undefined ? [] : [`DETAIL ${detail}`]),
    ...(where.length === 0 ? [] : [`WHERE ${where.join(' ')}`]),
  ];
}
