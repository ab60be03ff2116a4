/**
 * The simple query protocol: one text, any number of statements, each committed by itself; the first error skips the
 * rest. The caller says ReadyForQuery.
 */
import { type ParsedStatement, SqlError, type SqlSession } from '@flotilla/sql';
import {
  writeCommandComplete,
  writeEmptyQueryResponse,
  writeRowDescription,
} from '../messages/backend-messages.ts';
import { isReadOnly } from './read-only.ts';
import { RowCursor, type RowTarget } from './row-cursor.ts';

export async function runSimpleQuery(
  session: SqlSession,
  target: RowTarget,
  text: string,
): Promise<void> {
  const statements = session.parse(text);
  if (statements.length === 0) {
    writeEmptyQueryResponse(target.link.output);
    return;
  }
  for (const statement of statements) await runStatement(session, target, statement);
}

async function runStatement(
  session: SqlSession,
  target: RowTarget,
  statement: ParsedStatement,
): Promise<void> {
  const { output } = target.link;
  const prepared = await session.prepare(statement, []);
  if (prepared.parameterTypes.length > 0) {
    throw new SqlError('42P02', 'there is no parameter $1');
  }
  target.runner.throwIfAborted();
  const result = await target.runner.execute(prepared, [], isReadOnly(statement.text));
  if (result.columns !== undefined && result.rows !== undefined) {
    writeRowDescription(output, result.columns, []);
    const shape = { columns: result.columns, formats: [], encode: encoderOf(session) };
    await new RowCursor(result.rows).send(target, shape, 0);
  }
  writeCommandComplete(output, result.commandTag());
}

export function encoderOf(session: SqlSession): SqlSession['encode'] {
  return (typeOid, format, value) => session.encode(typeOid, format, value);
}
