/**
 * What is stored of storage that a transaction fills before it commits, so that somebody reclaims it if the transaction never
 * does: a row for each span, written before the first of its rows and deleted by the commit itself.
 *
 *   03 "sql/loading/" start key             JSON with a `format` field; how long the key is says nothing of where the span ends
 */
import { concatBytes, DbError, prefixSpan, type Span, systemPrefix, toHex } from '@flotilla/base';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { indexSpan, storageSpan } from '../storage/table-store.ts';

const format = 1;
const prefix = concatBytes(systemPrefix, Buffer.from('sql/loading/', 'utf8'));

export const loadingSpan: Span = prefixSpan(prefix);

export interface LoadingRow {
  readonly span: Span;
  /** When its rows were deleted, the transaction having been given up. Undefined: it may still commit. Unit: ms since 1970. */
  readonly reclaimedAtMs: number | undefined;
}

export function loadingKey({ startKey }: Span): Uint8Array {
  return concatBytes(prefix, startKey);
}

export function encodeLoading({ span, reclaimedAtMs }: LoadingRow): Uint8Array {
  const reclaimed = reclaimedAtMs === undefined ? {} : { reclaimedAtMs };
  const row = { format, endKey: toHex(span.endKey), ...reclaimed };
  return Buffer.from(JSON.stringify(row), 'utf8');
}

/** Throws CORRUPTION. */
export function decodeLoading(key: Uint8Array, value: Uint8Array): LoadingRow {
  let row: { readonly format?: number; readonly endKey?: string; readonly reclaimedAtMs?: number };
  try {
    row = JSON.parse(Buffer.from(value).toString('utf8')) as typeof row;
  } catch (cause) {
    throw new DbError('CORRUPTION', 'a row of a load is no JSON', { cause });
  }
  if (row.format !== format || typeof row.endKey !== 'string')
    throw new DbError('CORRUPTION', `a row of a load has format ${String(row.format)}`);
  const span = { startKey: key.slice(prefix.length), endKey: Buffer.from(row.endKey, 'hex') };
  return { span, reclaimedAtMs: row.reclaimedAtMs };
}

/** Whether a table of any database keeps its rows, or those of an index, in the span, or a sequence its state. */
export function isInUse(catalog: CatalogSnapshot, { startKey }: Span): boolean {
  const begins = (span: Span): boolean => Buffer.compare(span.startKey, startKey) === 0;
  return catalog
    .everywhere()
    .some(({ relations }) =>
      [...relations.values()].some(
        (relation) =>
          relation.kind !== 'view' &&
          (begins(storageSpan(relation.storageId)) ||
            (relation.kind === 'table' &&
              relation.indexes.some((index) => begins(indexSpan(relation, index))))),
      ),
    );
}
