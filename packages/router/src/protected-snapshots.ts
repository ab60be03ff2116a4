/**
 * The rows that keep what long snapshots need (first range; rules in `shard/src/protocol/snapshot-protection.ts`): written,
 * renewed, and taken away when they have expired. Called by who reads such snapshots; decides nothing about when.
 */
import {
  decodeProtection,
  encodeProtection,
  protectionKey,
  protectionSpan,
  type SnapshotProtection,
} from '@flotilla/shard/protocol';
import type { OperationOptions, Router, WriteCondition, WriteMutation } from './router-api.ts';

export type { SnapshotProtection } from '@flotilla/shard/protocol';

/**
 * Writes the row, or writes it anew.
 * @param id 16 bytes @param version of the row that is renewed; 0: there is none yet
 * @returns its version now; undefined: the row is not what it was
 */
export async function protectSnapshot(
  router: Pick<Router, 'write'>,
  {
    id,
    version,
    ...row
  }: SnapshotProtection & { readonly id: Uint8Array; readonly version: number },
  options: OperationOptions = {},
): Promise<number | undefined> {
  const key = protectionKey(id);
  const condition: WriteCondition =
    version === 0 ? { kind: 'absent', key } : { kind: 'unchanged', key, timestamp: version };
  const mutations: WriteMutation[] = [{ kind: 'put', key, value: encodeProtection(row) }];
  const batch = { conditions: [condition], mutations, deleteSpans: [] };
  const outcome = await router.write(batch, options);
  return outcome.applied ? outcome.timestamp : undefined;
}

/** Takes away what expired before a time, whoever wrote it. @param expiredBeforeMs since 1970; a minute ago or more */
export async function removeExpiredProtections(
  router: Pick<Router, 'scan' | 'write'>,
  expiredBeforeMs: number,
  options: OperationOptions = {},
): Promise<void> {
  const mutations: WriteMutation[] = [];
  for await (const rows of router.scan(protectionSpan, options))
    for (const { key, value, timestamp } of rows) {
      const found = decodeProtection({ value, timestamp });
      if (found === undefined || found.expiresAtMs < expiredBeforeMs)
        mutations.push({ kind: 'delete', key });
    }
  if (mutations.length > 0)
    await router.write({ conditions: [], mutations, deleteSpans: [] }, options);
}
