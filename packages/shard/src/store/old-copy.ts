/**
 * Tells an old copy of a store's disk from the disk. A store tells others how far its log is durable, never more than that;
 * so whatever starts on its disk later finds at least what was told. A disk with less is a copy that was made before, or
 * has lost what it had synced: it may vote against entries that this store has acknowledged. Pure.
 */
import { ExitCode, FatalError, type StoreId } from '@flotilla/base';

/** How far a life of the store said that its log was durable. */
export interface ToldLog {
  readonly incarnation: number;
  /** 0: it did not say. */
  readonly logBatch: number;
}

/** What one start of the store found: everything up to this batch. */
export interface LogStart {
  readonly incarnation: number;
  readonly recoveredBatch: number;
}

/**
 * @param told of a life other than the present one
 * @param start the present life's
 * @param unconfirmed the first start that nobody has confirmed: what ran since then may have filled an old copy's log up
 */
export function isOldCopy(told: ToldLog, start: LogStart, unconfirmed: LogStart = start): boolean {
  if (told.incarnation >= start.incarnation) return true;
  const { recoveredBatch } = told.incarnation < unconfirmed.incarnation ? unconfirmed : start;
  return told.logBatch > recoveredBatch;
}

/** @param facts what proves it */
export function oldCopyError(
  storeId: StoreId,
  facts: Readonly<Record<string, unknown>> = {},
): FatalError {
  return new FatalError(
    ExitCode.identityMismatch,
    `this disk is an older copy of store ${storeId}, which has run since, or it has lost what it had synced: it could ` +
      `vote against what the store has acknowledged. ${whatToDo(storeId)}`,
    { storeId, found: 'an older copy', ...facts },
  );
}

export function whatToDo(storeId: StoreId): string {
  return (
    'Start a new store with an empty directory under a number that was never used; if the disk that had run last is ' +
    `lost, run \`flotilla store decommission ${storeId}\``
  );
}
