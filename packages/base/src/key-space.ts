/**
 * The map of the whole logical key space: who owns which first byte. Everything below `sql` treats keys as bytes; this
 * is the only file that says what lies where.
 *
 *   01            cluster: what stores say of themselves and count, what operators want of them, what placement did
 *   02            meta: one row per range, keyed 02 ‖ endKey of the range; 02 02 and 02 03 tell where the others are
 *   03            system: cluster settings, id counters, SQL catalog
 *   08 ‖ key      the SDK's own key-value space
 *   09 ‖ key      what came of transactions that were run under an idempotency key
 *   10 ‖ prefix   SQL rows: 4-byte big-endian table prefix, then index id and key columns
 */
import { prefixEnd } from './bytes.ts';
import { keyMax, type Span } from './span.ts';

/** Always in the first range, beside the first rows of the meta index. */
export const clusterPrefix: Uint8Array = Uint8Array.of(0x01);
export const metaPrefix: Uint8Array = Uint8Array.of(0x02);
/**
 * The root of the meta index is what lies below: what the cluster says of itself, and the rows of the ranges that hold the
 * index. The first range always holds all of it; above, the index is cut like anything else.
 */
export const rootEndKey: Uint8Array = Uint8Array.of(0x02, 0x03, 0x00);
export const systemPrefix: Uint8Array = Uint8Array.of(0x03);
export const kvPrefix: Uint8Array = Uint8Array.of(0x08);
export const outcomePrefix: Uint8Array = Uint8Array.of(0x09);
export const tablePrefix: Uint8Array = Uint8Array.of(0x10);

/** What the cluster keeps of itself: what is said of stores and wanted of them, where ranges are, counters, the SQL catalog. */
export const systemSpan: Span = { startKey: new Uint8Array(0), endKey: kvPrefix };
/** All keys. */
export const wholeSpan: Span = { startKey: new Uint8Array(0), endKey: keyMax };

/** Keys longer than this are refused with TOO_LARGE. Unit: bytes. Bounds index rows and frames. */
export const keyBytesMax: number = 8 * 1024;
/** Values longer than this are refused with TOO_LARGE. Unit: bytes. Half of a write request's limit. */
export const valueBytesMax: number = 4 * 1024 * 1024;

/** All keys that begin with `prefix`, which must not be empty or all 0xff. */
export function prefixSpan(prefix: Uint8Array): Span {
  const endKey = prefixEnd(prefix);
  if (endKey === undefined) throw new RangeError('prefix has an end');
  return { startKey: prefix, endKey };
}
