/** A transaction's context as the header of its requests. Encoded per request: the snapshot and what is observed change. */
import { kv } from '@flotilla/shard/protocol';
import type { TransactionContext } from './transaction-api.ts';

/** What of a header differs from its context. */
export interface HeaderTarget {
  readonly coordinator: string;
  readonly storeId: number;
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
  return kv.Request.encode({ transaction: headerFields(context, target) }).finish();
}

/** The clock of a store when it first answered is what its later answers may be judged by. */
export function observe(context: TransactionContext, storeId: number, timestamp: number): void {
  if (timestamp > 0 && storeId > 0 && !context.observed.has(storeId))
    context.observed.set(storeId, timestamp);
}
