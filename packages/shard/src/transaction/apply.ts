/** The engine rows of a command's intents and records: what `Replica.apply` adds to its batch. By the command alone. */
import { asBuffer } from '@flotilla/base';
import type { EngineOperation } from '../engine/engine.ts';
import type { Command } from '../replica/command.ts';
import type { StorageSpace } from '../state/storage-keys.ts';

export function transactionRows(
  space: StorageSpace,
  { intents, records }: Command,
  operations: EngineOperation[],
): void {
  for (const { key, stored } of intents)
    operations.push(row(space.intentKey(key), asBuffer(stored)));
  for (const { key, transactionId, stored } of records)
    operations.push(row(space.recordKey(key, transactionId), asBuffer(stored)));
}

function row(key: Buffer, stored: Buffer): EngineOperation {
  return stored.length === 0 ? { type: 'del', key } : { type: 'put', key, value: stored };
}
