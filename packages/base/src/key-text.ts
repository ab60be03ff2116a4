/** Keys and spans of the key space as people read them: `table 12`, `kv "user/7"`. For what people look at only. */
import { asBuffer, compareBytes, toHex } from './bytes.ts';
import { clusterPrefix, kvPrefix, metaPrefix, systemPrefix, tablePrefix } from './key-space.ts';
import { keyMax, type Span } from './span.ts';

/** The longest key shown in full. Unit: bytes. Longer ones end in an ellipsis. */
const shownBytesMax = 24;

export function spanText(span: Span): string {
  return `[${keyText(span.startKey)}, ${keyText(span.endKey)})`;
}

export function keyText(key: Uint8Array): string {
  if (key.length === 0) return 'start';
  if (compareBytes(key, keyMax) >= 0) return 'end';
  const rest = key.subarray(1);
  switch (key[0]) {
    case clusterPrefix[0]:
      return rest.length === 0 ? 'cluster' : `cluster ${bytesText(rest)}`;
    case metaPrefix[0]:
      return rest.length === 0 ? 'meta' : `meta ${keyText(rest)}`;
    case systemPrefix[0]:
      return rest.length === 0 ? 'system' : `system ${bytesText(rest)}`;
    case kvPrefix[0]:
      return rest.length === 0 ? 'kv' : `kv ${bytesText(rest)}`;
    case tablePrefix[0]:
      return tableText(rest);
    default:
      return `0x${shortHex(key)}`;
  }
}

function tableText(rest: Uint8Array): string {
  if (rest.length === 0) return 'tables';
  if (rest.length < 4) return `tables 0x${shortHex(rest)}`;
  const table = `table ${asBuffer(rest).readUInt32BE(0)}`;
  return rest.length === 4 ? table : `${table} 0x${shortHex(rest.subarray(4))}`;
}

function bytesText(bytes: Uint8Array): string {
  const printable = bytes.every((byte) => byte >= 0x20 && byte < 0x7f);
  if (!printable) return `0x${shortHex(bytes)}`;
  const text = asBuffer(bytes.subarray(0, shownBytesMax)).toString('latin1');
  return bytes.length > shownBytesMax ? `"${text}…"` : `"${text}"`;
}

function shortHex(bytes: Uint8Array): string {
  const hex = toHex(bytes.subarray(0, shownBytesMax));
  return bytes.length > shownBytesMax ? `${hex}…` : hex;
}
