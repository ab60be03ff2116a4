/** Read checks in the wire's form, and as parts that are cut by range. */
import type { kv } from '@flotilla/shard/protocol';
import type { ReadCheck } from './transaction-api.ts';

export type WireReadCheck = Parameters<typeof kv.ReadCheck.encode>[0];

/** On the wire one key has an empty end key. */
export function wireReadCheck(check: ReadCheck): WireReadCheck {
  const { startKey, endKey, since } = check;
  return endKey === undefined ? { startKey, since } : { startKey, endKey, since };
}

export function readCheckBytes(checks: readonly ReadCheck[]): number {
  let bytes = 0;
  for (const { startKey, endKey } of checks) bytes += startKey.length + (endKey?.length ?? 0) + 16;
  return bytes;
}
