/** A cursor that DECLARE made, executed by name as if it were a portal. */
import type { NamedPortal, SqlSession } from '@flotilla/sql';
import { type Format, writePortalSuspended } from '../messages/backend-messages.ts';
import { completeStatement, RowCursor, type RowTarget } from './row-cursor.ts';

/** Rows that are taken from a cursor at once. */
const rowsAtOnce = 256;

/** BINARY is the cursor's own. */
export function cursorFormats({ binary }: NamedPortal): readonly Format[] {
  return binary === true ? [1] : [];
}

/** @param options.rowsMax 0 = all */
export async function sendCursor(
  target: RowTarget,
  cursor: NamedPortal,
  options: { readonly rowsMax: number; readonly encode: SqlSession['encode'] },
): Promise<void> {
  const { rowsMax, encode } = options;
  const shape = { columns: cursor.columns ?? [], formats: cursorFormats(cursor), encode };
  const { output } = target.link;
  for (let sent = 0; ; ) {
    const wanted = rowsMax === 0 ? rowsAtOnce : Math.min(rowsAtOnce, rowsMax - sent);
    const rows = await cursor.take(wanted);
    await new RowCursor(rows).send(target, shape, 0);
    sent += rows.length;
    if (rows.length < wanted) return completeStatement(target, `SELECT ${sent}`);
    if (sent === rowsMax) return writePortalSuspended(output);
  }
}
