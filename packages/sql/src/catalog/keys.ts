/**
 * Where the catalog lies in the system key space:
 *
 *   03 "sql/version"                        decimal text: counts every change of the catalog
 *   03 "sql/leases"                         who relies on the version, and until when: see `lease.ts`
 *   03 "sql/next-id"                        decimal text: the next oid
 *   03 "sql/relation/" id (u32)             descriptor of a table, view, sequence or type
 *   03 "sql/statistics/" id (u32)           what ANALYZE found out about a table
 *   03 "sql/schema/" name                   descriptor of a schema; `public` without one is there all the same
 *   03 "sql/schema/" oid 00 name            of a schema of another database than the initial one
 *   03 "sql/access/" kind "/" name          descriptor of a role or a database
 *   03 "sql/loading/" start key             storage that is filled before a commit: see `loading/loading-rows.ts`
 *   03 "sql/login-secret"                   32 random bytes: what unknown names are answered from
 *
 * Relations and types of all databases lie among each other: their descriptors say which database they are of.
 *
 * There are no keys for names: every change reads and writes the version, so that no two of them pass each other, and the
 * catalog of a version is held in memory as a whole.
 */
import { concatBytes, prefixSpan, type Span, systemPrefix } from '@flotilla/base';

function systemKey(path: string): Uint8Array {
  return concatBytes(systemPrefix, Buffer.from(path, 'utf8'));
}

export const catalogVersionKey: Uint8Array = systemKey('sql/version');
export const catalogLeasesKey: Uint8Array = systemKey('sql/leases');
export const nextDescriptorIdKey: Uint8Array = systemKey('sql/next-id');

const relationPrefix = systemKey('sql/relation/');
const schemaPrefix = systemKey('sql/schema/');
const accessPrefix = systemKey('sql/access/');
const statisticsPrefix = systemKey('sql/statistics/');
export const statisticsSpan: Span = prefixSpan(statisticsPrefix);
export const relationsSpan: Span = prefixSpan(relationPrefix);
export const schemasSpan: Span = prefixSpan(schemaPrefix);
export const accessSpan: Span = prefixSpan(accessPrefix);
export const loginSecretKey: Uint8Array = systemKey('sql/login-secret');

/** The first id given out: below it lie PostgreSQL's own objects. Dividable by 8. */
export const firstDescriptorId: number = 16_384;
/** The low 29 bits of a table's key prefix hold its id. */
export const lastDescriptorId: number = 2 ** 29 - 1;

export function descriptorKey(id: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(id);
  return concatBytes(relationPrefix, bytes);
}

export function statisticsKey(id: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(id);
  return concatBytes(statisticsPrefix, bytes);
}

/** @param database undefined: the initial one */
export function schemaKey(name: string, database: number | undefined): Uint8Array {
  return systemKey(`sql/schema/${database === undefined ? '' : `${database}\0`}${name}`);
}

/** @param name as `accessName` gives it */
export function accessKey(name: string): Uint8Array {
  return concatBytes(accessPrefix, Buffer.from(name, 'utf8'));
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
