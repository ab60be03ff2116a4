/**
 * What is stored of storage that nothing refers to any more, after DROP, TRUNCATE and rewrites of tables: a row for each span,
 * written by the change of the catalog itself and deleted when the span is empty.
 *
 *   03 "sql/dropped/" start key             JSON with a `format` field; how long the key is says nothing of where the span ends
 */
import { concatBytes, DbError, prefixSpan, type Span, systemPrefix, toHex } from '@flotilla/base';

const format = 1;
const prefix = concatBytes(systemPrefix, Buffer.from('sql/dropped/', 'utf8'));

export const droppedSpan: Span = prefixSpan(prefix);

export interface DroppedRow {
  readonly span: Span;
  /** What it was, for people: schema and name. */
  readonly name: string;
  /** When the change was about to commit. Unit: ms since 1970. */
  readonly droppedAtMs: number;
}

export function droppedKey({ startKey }: Span): Uint8Array {
  return concatBytes(prefix, startKey);
}

export function encodeDropped({ span, name, droppedAtMs }: DroppedRow): Uint8Array {
  const row = { format, endKey: toHex(span.endKey), name, droppedAtMs };
  return Buffer.from(JSON.stringify(row), 'utf8');
}

/** Throws CORRUPTION. */
export function decodeDropped(key: Uint8Array, value: Uint8Array): DroppedRow {
  let row: {
    readonly format?: unknown;
    readonly endKey?: unknown;
    readonly name?: unknown;
    readonly droppedAtMs?: unknown;
  };
  try {
    row = JSON.parse(Buffer.from(value).toString('utf8')) as typeof row;
  } catch (cause) {
    throw new DbError('CORRUPTION', 'a row of dropped storage is no JSON', { cause });
  }
  const { endKey, name, droppedAtMs } = row;
  if (row.format !== format || typeof endKey !== 'string' || typeof droppedAtMs !== 'number')
    throw new DbError('CORRUPTION', `a row of dropped storage has format ${String(row.format)}`);
  const span = { startKey: key.slice(prefix.length), endKey: Buffer.from(endKey, 'hex') };
  return { span, name: typeof name === 'string' ? name : '', droppedAtMs };
}
