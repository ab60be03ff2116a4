/** What callers may hand to the router: refuses the rest before anything is sent. */
import { compareBytes, DbError, keyBytesMax, messageBytesMax, valueBytesMax } from '@flotilla/base';
import type { WriteBatch } from './router-api.ts';

/** Room that a write leaves for ids and lengths around its keys and values. */
const writeBytesMax = messageBytesMax - 64 * 1024;

export function checkKey(key: Uint8Array): void {
  if (key.length === 0) throw new DbError('INVALID_ARGUMENT', 'a key is empty');
  if (key.length > keyBytesMax)
    throw new DbError('TOO_LARGE', `a key has more than ${keyBytesMax} bytes`, { key });
}

/** @returns bytes of keys and values
 *  @param most of them; more than fits a message only where the batch is cut into several */
export function checkBatch(batch: WriteBatch, most: number = writeBytesMax): number {
  let bytes = 0;
  for (const { key } of batch.conditions) {
    checkKey(key);
    bytes += key.length + 24;
  }
  for (const mutation of batch.mutations) {
    checkKey(mutation.key);
    bytes += mutation.key.length + 16;
    if (mutation.kind === 'delete') continue;
    if (mutation.value.length > valueBytesMax) {
      const message = `a value has more than ${valueBytesMax} bytes`;
      throw new DbError('TOO_LARGE', message, { key: mutation.key });
    }
    bytes += mutation.value.length;
  }
  for (const { startKey, endKey } of batch.deleteSpans) {
    if (compareBytes(startKey, endKey) >= 0)
      throw new DbError('INVALID_ARGUMENT', 'a span ends after it starts');
    bytes += startKey.length + endKey.length + 16;
  }
  if (bytes > most) throw new DbError('TOO_LARGE', `a write has more than ${most} bytes`);
  return bytes;
}
