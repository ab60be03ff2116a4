/**
 * What is stored of advisory locks: a row for each lock that is held, with its holders, and a row for each process that
 * holds any. JSON with a `format` field.
 *
 *   03 "sql/process/" name                  ProcessRow
 *   03 "sql/advisory/" key (u64) kind (u8)  holders; of a lock of another database than the initial one its oid (u32) follows
 */
import { concatBytes, DbError, prefixSpan, type Span, systemPrefix } from '@flotilla/base';

const format = 1;

/** `single`: of one bigint. `pair`: of two integers. They are different locks. */
export type AdvisoryKind = 'single' | 'pair';

export interface AdvisoryId {
  readonly kind: AdvisoryKind;
  /** 64 bits; of a pair the first integer above the second. */
  readonly key: bigint;
  /** The oid of the database that it is a lock of; absent: the initial one. */
  readonly database?: number;
}

export type AdvisoryMode = 'exclusive' | 'share';

export interface Holder {
  /** As its presence names it. */
  readonly process: string;
  /** Within the process. */
  readonly session: number;
  /** What pg_backend_pid() answers there. */
  readonly processId: number;
  readonly mode: AdvisoryMode;
}

const processPrefix = concatBytes(systemPrefix, Buffer.from('sql/process/', 'utf8'));
const lockPrefix = concatBytes(systemPrefix, Buffer.from('sql/advisory/', 'utf8'));
export const advisorySpan: Span = prefixSpan(lockPrefix);

export function processKey(name: string): Uint8Array {
  return concatBytes(processPrefix, Buffer.from(name, 'utf8'));
}

const databaseOffset = 9;

export function advisoryKey({ kind, key, database }: AdvisoryId): Uint8Array {
  const bytes = Buffer.alloc(databaseOffset + (database === undefined ? 0 : 4));
  bytes.writeBigUInt64BE(BigInt.asUintN(64, key));
  bytes[8] = kind === 'single' ? 1 : 2;
  if (database !== undefined) bytes.writeUInt32BE(database, databaseOffset);
  return concatBytes(lockPrefix, bytes);
}

export function advisoryIdOf(key: Uint8Array): AdvisoryId {
  const bytes = Buffer.from(key).subarray(lockPrefix.length);
  const own = bytes.length > databaseOffset ? { database: bytes.readUInt32BE(databaseOffset) } : {};
  return { kind: bytes[8] === 2 ? 'pair' : 'single', key: bytes.readBigInt64BE(0), ...own };
}

export function encodePresence({ beat }: { readonly beat: number }): Uint8Array {
  return Buffer.from(JSON.stringify({ format, beat }), 'utf8');
}

/** Throws CORRUPTION. */
export function decodePresence(bytes: Uint8Array): { readonly beat: number } {
  const { beat } = parse(bytes) as { readonly beat?: unknown };
  if (typeof beat !== 'number' || !Number.isSafeInteger(beat)) throw corrupt();
  return { beat };
}

export function encodeHolders(holders: readonly Holder[]): Uint8Array {
  return Buffer.from(JSON.stringify({ format, holders }), 'utf8');
}

/** An absent row has none. Throws CORRUPTION. */
export function decodeHolders(bytes: Uint8Array | undefined): readonly Holder[] {
  if (bytes === undefined) return [];
  const { holders } = parse(bytes) as { readonly holders?: unknown };
  if (!Array.isArray(holders) || !holders.every(isHolder)) throw corrupt();
  return holders;
}

function isHolder(one: unknown): one is Holder {
  const { process, session, processId, mode } = (one ?? {}) as Partial<Holder>;
  return (
    typeof process === 'string' &&
    Number.isSafeInteger(session) &&
    Number.isSafeInteger(processId) &&
    (mode === 'exclusive' || mode === 'share')
  );
}

/** Throws CORRUPTION. */
function parse(bytes: Uint8Array): object {
  let row: unknown;
  try {
    row = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw corrupt(cause);
  }
  if (typeof row !== 'object' || row === null || !('format' in row) || row.format !== format)
    throw corrupt();
  return row;
}

function corrupt(cause?: unknown): DbError {
  return new DbError('CORRUPTION', 'a row of advisory locks cannot be read', { cause });
}
