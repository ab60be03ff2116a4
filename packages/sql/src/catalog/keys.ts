/**
 * Where the catalog lies in the system key space:
 *
 *   03 "sql/version"                        decimal text: counts every change of the catalog
 *   03 "sql/next-id"                        decimal text: the next descriptor id
 *   03 "sql/table/" id (u32)                descriptor
 *   03 "sql/name/" schema 00 name           decimal text: descriptor id
 */
import { concatBytes, systemPrefix } from '@flotilla/base';

function systemKey(path: string): Uint8Array {
  return concatBytes(systemPrefix, Buffer.from(path, 'utf8'));
}

export const catalogVersionKey: Uint8Array = systemKey('sql/version');
export const nextDescriptorIdKey: Uint8Array = systemKey('sql/next-id');

/** The first id given out: below it lie PostgreSQL's own objects. Dividable by 8. */
export const firstDescriptorId: number = 16_384;
/** The low 29 bits of a table's key prefix hold its id. */
export const lastDescriptorId: number = 2 ** 29 - 1;

export function descriptorKey(id: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(id);
  return concatBytes(systemKey('sql/table/'), bytes);
}

export function nameKey(schema: string, name: string): Uint8Array {
  return systemKey(`sql/name/${schema}\0${name}`);
}

export function encodeCounter(value: number): Uint8Array {
  return Buffer.from(String(value), 'latin1');
}

/** An absent counter is 0. */
export function decodeCounter(bytes: Uint8Array | undefined): number {
  if (bytes === undefined) return 0;
  const value = Number(Buffer.from(bytes).toString('latin1'));
  if (!Number.isSafeInteger(value)) throw new RangeError('counter is an integer');
  return value;
}
