/** The row of leases on the catalog's version: who holds one, and until when. JSON with a `format` field. */
import { DbError } from '@flotilla/base';

export interface Lease {
  /** Of the process. */
  readonly id: string;
  /** In the time of snapshots and commits. */
  readonly until: number;
}

const format = 1;

export function encodeLeases(leases: readonly Lease[]): Uint8Array {
  const held = leases.map(({ id, until }) => ({ id, until }));
  return Buffer.from(JSON.stringify({ format, leases: held }), 'utf8');
}

/** An absent row has none. Throws CORRUPTION. */
export function decodeLeases(bytes: Uint8Array | undefined): readonly Lease[] {
  if (bytes === undefined) return [];
  let row: { readonly format?: unknown; readonly leases?: unknown };
  try {
    row = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw new DbError('CORRUPTION', 'the leases on the catalog cannot be read', { cause });
  }
  if (row.format !== format || !Array.isArray(row.leases) || !row.leases.every(isLease))
    throw new DbError('CORRUPTION', 'the leases on the catalog are of no known format');
  return row.leases;
}

function isLease(one: unknown): one is Lease {
  const { id, until } = (one ?? {}) as Partial<Lease>;
  return typeof id === 'string' && Number.isSafeInteger(until);
}
