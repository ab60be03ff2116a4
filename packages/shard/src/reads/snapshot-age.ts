/** How far back a snapshot may lie, here and at any other replica alike. */
import { type HybridLogicalClock, timestampSpan } from '@flotilla/base';
import type { ProtectedSnapshots } from '../protocol/snapshot-protection.ts';
import { type Answer, RefusalReason, refusal } from '../replica/answers.ts';

export interface HistoryReach {
  readonly historyTtlMs: number;
  /** Snapshots that are read for long. Undefined: not known. */
  readonly protectedSnapshots: () => ProtectedSnapshots | undefined;
}

/** @param now of this store's clock. @returns why the snapshot cannot be read any more */
export function refuseTooOld(
  readTimestamp: number,
  now: number,
  hlc: HybridLogicalClock,
  { historyTtlMs, protectedSnapshots }: HistoryReach,
): Answer | undefined {
  // A tenth less than what is swept: other stores' clocks did the sweeping.
  if (readTimestamp >= now - timestampSpan(0.9 * historyTtlMs)) return undefined;
  if (protectedSnapshots()?.covers(readTimestamp, hlc.wallMs(), historyTtlMs) === true)
    return undefined;
  return refusal(RefusalReason.SNAPSHOT_TOO_OLD, 'the history does not reach back so far');
}
