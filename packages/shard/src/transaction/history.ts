/** Versions of the past: which one a snapshot sees. Rows of the history are never changed, only swept when they are old. */
import { ExitCode, FatalError } from '@flotilla/base';
import type { Engine } from '../engine/engine.ts';
import {
  dataPrefixBytes,
  type StorageSpace,
  supersededAtOf,
  userKeyOfHistory,
} from '../state/storage-keys.ts';
import { checkStored } from '../state/stored-value.ts';

export interface OldVersion {
  readonly stored: Buffer;
  readonly supersededAt: number;
}

/**
 * The oldest version of a key that was superseded after `timestamp`. If it was written by then, it is what a snapshot at
 * `timestamp` sees; if not, the key was absent. One seek.
 */
export async function historyAt(
  engine: Engine,
  space: StorageSpace,
  key: Uint8Array,
  timestamp: number,
): Promise<OldVersion | undefined> {
  const iterator = engine.iterate(space.historyOf(key, timestamp));
  try {
    const [row] = await iterator.next(1);
    if (row === undefined) return undefined;
    return { stored: checkStored(key, row.value), supersededAt: supersededAtOf(row.key) };
  } finally {
    await iterator.close();
  }
}

/** The user's key of a row of the history. */
export function keyOfHistory(historyKey: Buffer): Buffer {
  const key = userKeyOfHistory(historyKey.subarray(dataPrefixBytes));
  if (key === undefined)
    throw new FatalError(ExitCode.engineCorrupt, 'a history key of another form');
  return key;
}

/** A row's value, checked. */
export function checkHistory(historyKey: Buffer, stored: Buffer): Buffer {
  return checkStored(keyOfHistory(historyKey), stored);
}
