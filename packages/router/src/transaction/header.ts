/** A transaction's context as the header of its requests. Encoded per request: the snapshot and what is observed change. */
import { timestampSpan } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import type { TransactionContext } from './transaction-api.ts';

/** What of a header differs from its context. */
export interface HeaderTarget {
  readonly coordinator: string;
  readonly storeId: number;
  /** Any replica is asked, and may answer. */
  readonly following?: boolean;
}

export type HeaderFields = Parameters<typeof kv.TransactionHeader.encode>[0];

export function headerFields(context: TransactionContext, target: HeaderTarget): HeaderFields {
  return {
    id: context.id,
    readTimestamp: context.readTimestamp,
    uncertaintyLimit: context.uncertaintyLimit,
    observedTimestamp: context.observed.get(target.storeId) ?? 0,
    coordinator: target.coordinator,
    startedAt: context.startedAt,
  };
}

/** As a field of a Request: tag, length, message. */
export function encodeHeaderField(context: TransactionContext, target: HeaderTarget): Uint8Array {
  const transaction = headerFields(context, target);
  const followerRead = target.following === true;
  return kv.Request.encode({ transaction, followerRead }).finish();
}

/** Nothing that the snapshot might show can still be written anywhere: any replica that has heard so may be asked. */
export function mayFollow(
  { readTimestamp, uncertaintyLimit }: TransactionContext,
  now: number,
  followerReadLagMs: number,
): boolean {
  if (readTimestamp === 0) return false;
  return Math.max(readTimestamp, uncertaintyLimit) <= now - timestampSpan(followerReadLagMs);
}

/** The clock of a store when it first answered is what its later answers may be judged by. */
export function observe(context: TransactionContext, storeId: number, timestamp: number): void {
  if (timestamp > 0 && storeId > 0 && !context.observed.has(storeId))
    context.observed.set(storeId, timestamp);
}
