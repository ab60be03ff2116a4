/** Rows on their way into a table through psql: statements of COPY with their data. Pure. */

/** Rows per COPY: every chunk is a transaction of its own, in every system. */
const rowsPerCopy = 2000;

/** @param row the line of row n, from 0, without its end */
export function* copyRows(
  table: string,
  count: number,
  row: (n: number) => string,
): Generator<string> {
  for (let at = 0; at < count; at += rowsPerCopy) {
    const end = Math.min(count, at + rowsPerCopy);
    const rows: string[] = [];
    for (let n = at; n < end; n++) rows.push(row(n));
    yield `COPY ${table} FROM STDIN;\n${rows.join('\n')}\n\\.\n`;
  }
}
