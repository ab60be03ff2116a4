/**
 * Transactions whose end nobody has finished: records and intents that are old, at ranges that this store leads. Their
 * coordinators are gone, and what they promised may lie in ranges that this store knows nothing of; so clients ask for
 * them now and then, and finish them. Only looks; what is found may be gone at once.
 */
import { timestampSpan } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import type { Replica } from '../replica/replica.ts';
import { bytesOfName, TransactionStatus } from '../state/transaction-rows.ts';

type Abandoned = flotilla.kv.AbandonedTransaction.$Properties;

/** Transactions, and intents of them, told in one answer; the next question finds the rest. */
const abandonedMax = 64;
const keysMax = 1000;
/** Looked at for one answer: a few milliseconds. */
const rowsMax = 20_000;

export function abandonedIn(replicas: Iterable<Replica>): Abandoned[] {
  const found = new Map<string, { readonly anchorKey: Buffer; readonly keys: Buffer[] }>();
  let seen = 0;
  let keys = 0;
  for (const { leaseholder, transactions } of replicas) {
    if (leaseholder?.isReady !== true || transactions.isEmpty) continue;
    const { hlc, limits, live } = leaseholder.context;
    const before = hlc.now() - timestampSpan(limits.recordTtlMs);
    for (const record of transactions.records.values()) {
      if (++seen > rowsMax || found.size === abandonedMax) break;
      const { key, transaction, status, writtenAt, promisedKeys } = record;
      if (writtenAt >= before || promisedKeys.length === 0 || live.isAlive(transaction)) continue;
      if (
        status === TransactionStatus.TRANSACTION_STAGING ||
        status === TransactionStatus.TRANSACTION_COMMITTED
      )
        found.set(transaction, { anchorKey: key, keys: [] });
    }
    for (const { key, transaction, anchorKey, timestamp } of transactions.intents.values()) {
      if (++seen > rowsMax || keys === keysMax) break;
      if (timestamp >= before || live.isAlive(transaction)) continue;
      let of = found.get(transaction);
      if (of === undefined) {
        if (found.size === abandonedMax) break;
        of = { anchorKey, keys: [] };
        found.set(transaction, of);
      }
      of.keys.push(key);
      keys++;
    }
  }
  return [...found].map(([transaction, of]) => ({
    transactionId: bytesOfName(transaction),
    ...of,
  }));
}
