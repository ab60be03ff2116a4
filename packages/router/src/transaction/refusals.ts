/** What the refusals that only transactions meet mean to whoever asked. Pure. */
import { DbError, toHex } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import type { Refusal } from '../range-call.ts';
import { TransactionRefused, type WaitNotice } from './transaction-api.ts';

const { RefusalReason } = kv;

/** @returns the error that ends the request; undefined: the refusal is not one of a transaction's */
export function finalRefusal(refusal: Refusal): Error | undefined {
  switch (refusal.reason) {
    case RefusalReason.UNCERTAIN:
      return new TransactionRefused('uncertain', refusal.timestamp ?? 0);
    case RefusalReason.PUSHED:
      return new TransactionRefused('pushed', refusal.timestamp ?? 0);
    case RefusalReason.TOO_LATE:
      return new TransactionRefused('too-late', refusal.timestamp ?? 0);
    case RefusalReason.SNAPSHOT_TOO_OLD:
      return new TransactionRefused('too-old');
    case RefusalReason.TRANSACTION_ABORTED:
      return new TransactionRefused('aborted');
    case RefusalReason.PROGRAM_REFUSED:
      return new TransactionRefused('program-refused');
    case RefusalReason.LOCK_NOT_AVAILABLE:
      return new DbError('LOCK_NOT_AVAILABLE', 'another transaction has locked the key', {
        key: Uint8Array.from(refusal.key ?? []),
      });
    default:
      return undefined;
  }
}

/** Copies what it keeps: the refusal is a view of a frame. */
export function waitNotice(refusal: Refusal): WaitNotice {
  return {
    key: Uint8Array.from(refusal.key ?? []),
    holders: (refusal.holders ?? []).map(({ transactionId, startedAt }) => ({
      id: toHex(transactionId ?? noBytes),
      startedAt: startedAt ?? 0,
    })),
    edges: (refusal.edges ?? []).map((edge) => ({
      waiter: toHex(edge.waiter ?? noBytes),
      waiterStartedAt: edge.waiterStartedAt ?? 0,
      holder: toHex(edge.holder ?? noBytes),
      holderStartedAt: edge.holderStartedAt ?? 0,
    })),
  };
}

const noBytes = new Uint8Array(0);
