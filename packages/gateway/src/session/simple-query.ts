/**
 * The simple query protocol: one text, any number of statements. Several are one transaction, unless they say BEGIN and
 * COMMIT themselves; the first error skips the rest. The caller says ReadyForQuery.
 */
import { type ParsedStatement, SqlError, type SqlSession } from '@flotilla/sql';
import {
  type Format,
  writeEmptyQueryResponse,
  writeRowDescription,
} from '../messages/backend-messages.ts';
import { sendCopy } from './copy-output.ts';
import { completeStatement, RowCursor, type RowTarget } from './row-cursor.ts';

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
  const last = statements.length - 1;
  for (const [index, statement] of statements.entries()) {
    if (last > 0) session.beginImplicit('query');
    const tag = await runStatement(session, target, statement);
    // As in PostgreSQL, the last statement is not complete before the transaction is.
    if (index === last) await session.endImplicit({ commit: true });
    completeStatement(target, tag());
  }
}

/** @returns the command tag */
async function runStatement(
  session: SqlSession,
  target: RowTarget,
  statement: ParsedStatement,
): Promise<() => string> {
  const { output } = target.link;
  const prepared = await session.prepare(statement, []);
  if (prepared.parameterTypes.length > 0) {
    throw new SqlError('42P02', 'there is no parameter $1');
  }
  target.runner.throwIfAborted();
  const result = await target.runner.execute(prepared, []);
  if (result.copyOut !== undefined) await sendCopy(target, result.copyOut);
  if (result.copyIn !== undefined) await target.copyInput.run(result.copyIn);
  if (result.columns !== undefined && result.rows !== undefined) {
    const formats: readonly Format[] = result.binary === true ? [1] : [];
    writeRowDescription(output, result.columns, formats);
    const shape = { columns: result.columns, formats, encode: encoderOf(session) };
    await new RowCursor(result.allRows ?? result.rows).send(target, shape, 0);
  }
  return () => result.commandTag();
}

export function encoderOf(session: SqlSession): SqlSession['encode'] {
  return (typeOid, format, value) => session.encode(typeOid, format, value);
}
