/**
 * What holds of every get and scan, wherever it is served: how much it may ask for, which keys it may name, and whether
 * what it has read still counts when it is done.
 */
import {
  keyBytesMax,
  keySuccessor,
  type Span,
  spanContains,
  spanContainsSpan,
} from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import type { StoreLimits } from '../limits.ts';
import { type Answer, RefusalReason, refusal } from '../replica/answers.ts';
import type { Replica } from '../replica/replica.ts';
import { type StorageSpace, transactionIdBytes } from '../state/storage-keys.ts';

export type ScanRequest = flotilla.kv.ScanRequest.$Properties;

const noBytes = Buffer.alloc(0);

/** Sizes and bounds of a get. */
export function checkKeys(
  replica: Replica,
  keys: readonly Uint8Array[],
  limits: StoreLimits,
): Answer | undefined {
  if (keys.length > limits.getKeysMax)
    return tooLarge(`a get names at most ${limits.getKeysMax} keys`);
  for (const key of keys) {
    if (key.length > keyBytesMax) return tooLarge(`a key exceeds ${keyBytesMax} bytes`);
    if (!spanContains(replica.descriptor, key))
      return replica.keyMismatch({ startKey: key, endKey: keySuccessor(key) });
  }
  return undefined;
}

export function spanOf({ startKey, endKey }: ScanRequest): Span {
  return { startKey: startKey ?? noBytes, endKey: endKey ?? noBytes };
}

export function scanBounds(
  { maxRows, maxBytes }: ScanRequest,
  { scanRowsMax, scanBytesMax }: StoreLimits,
): { readonly rowsMax: number; readonly bytesMax: number } {
  return { rowsMax: bounded(maxRows, scanRowsMax), bytesMax: bounded(maxBytes, scanBytesMax) };
}

/**
 * Why what was read over several turns does not count: the range was left, or a snapshot has replaced its storage, or it was
 * cut, and whoever has the right half now may have left this store with its rows.
 * @param space in which the reading began
 */
export function goneMeanwhile(
  replica: Pick<Replica, 'isRemoved' | 'space' | 'descriptor' | 'notLeaseholder' | 'keyMismatch'>,
  space: StorageSpace,
  span: Span,
): Answer | undefined {
  if (replica.isRemoved || replica.space !== space) return replica.notLeaseholder();
  return spanContainsSpan(replica.descriptor, span) ? undefined : replica.keyMismatch(span);
}

export function invalidId(): Answer {
  return refusal(RefusalReason.INVALID, `a transaction id has ${transactionIdBytes} bytes`);
}

export function tooLarge(message: string): Answer {
  return refusal(RefusalReason.TOO_LARGE, message);
}

function bounded(asked: number | null | undefined, most: number): number {
  return typeof asked === 'number' && asked > 0 ? Math.min(asked, most) : most;
}
