/**
 * What a store has in memory about locks, transactions and contention, for people: served to whoever asks, bounded, read
 * only. Called by the store's request server through `TransactionRequests`.
 */
import type { flotilla } from '../../gen/kv.js';
import { kv } from '../protocol/index.ts';
import type { Answer } from '../replica/answers.ts';
import type { Replica } from '../replica/replica.ts';
import { bytesOfName } from '../state/transaction-rows.ts';
import type { Contention } from '../transaction/contention.ts';
import type { LiveTransactions } from '../transaction/live-transactions.ts';
import type { LockWish } from '../transaction/lock-table.ts';

/** Rows of each list in one answer: with keys of 100 bytes some 200 KiB. */
export const inspectRowsMax = 1000;

const { LockKind } = kv;

const kindOf: Readonly<Record<LockWish, flotilla.kv.LockKind>> = {
  share: LockKind.LOCK_KIND_SHARE,
  exclusive: LockKind.LOCK_KIND_EXCLUSIVE,
  write: LockKind.LOCK_KIND_WRITE,
};

export interface InspectedStore {
  readonly replicas: ReadonlyMap<number, Replica>;
  readonly live: LiveTransactions;
  readonly contention: Contention;
  readonly nowMs: number;
}

/** Waits come before what is merely held: they are what one asks for. */
export function inspectStore(
  { rowsMax }: flotilla.kv.InspectRequest.$Properties,
  { replicas, live, contention, nowMs }: InspectedStore,
): Answer {
  const wanted = rowsMax ?? 0;
  const most = wanted > 0 ? Math.min(wanted, inspectRowsMax) : inspectRowsMax;
  const waits: flotilla.kv.LockReport.$Properties[] = [];
  const held: flotilla.kv.LockReport.$Properties[] = [];
  const transactions = new Map<string, Counts>();
  let truncated = false;
  const add = (
    to: flotilla.kv.LockReport.$Properties[],
    row: () => flotilla.kv.LockReport.$Properties,
  ): void => {
    if (to.length < most) to.push(row());
    else truncated = true;
  };
  for (const { leaseholder, rangeId, transactions: state } of replicas.values()) {
    if (leaseholder === undefined) continue;
    for (const lock of leaseholder.locks.listed()) {
      const { transaction, granted } = lock;
      if (transaction !== undefined) {
        const counts = countsOf(transactions, transaction);
        if (granted) counts.locks++;
        else counts.waits = true;
      }
      add(granted ? held : waits, () => ({
        rangeId,
        key: bytesOfName(lock.name),
        kind: kindOf[lock.kind],
        granted,
        transactionId: transaction === undefined ? noBytes : bytesOfName(transaction),
        waitingMs: Math.max(0, Math.round(lock.waitingMs)),
        blockedBy: lock.blockedBy.map(bytesOfName),
      }));
    }
    for (const { key, transaction } of state.intents.values()) {
      countsOf(transactions, transaction).intents++;
      add(held, () => ({
        ...{ rangeId, key, kind: LockKind.LOCK_KIND_INTENT, granted: true },
        transactionId: bytesOfName(transaction),
      }));
    }
  }
  for (const transaction of live.names()) countsOf(transactions, transaction);
  const byAge = [...transactions]
    .map(([transaction, counts]) => ({ ...live.describe(transaction), ...counts }))
    .sort((a, b) => (a.startedAt || Infinity) - (b.startedAt || Infinity));
  if (byAge.length > most || waits.length + held.length > most) truncated = true;
  const rangeOf = rangeFinder(replicas);
  return {
    inspect: {
      locks: [...waits, ...held].slice(0, most),
      transactions: byAge.slice(0, most),
      contention: [...contention.entries()]
        .map(([name, { waits: count, waitedMs, conflicts, atMs }]) => {
          const key = bytesOfName(name);
          return {
            ...{ key, rangeId: rangeOf(key), waits: count, conflicts },
            waitedMs: Math.round(waitedMs),
            idleMs: Math.max(0, Math.round(nowMs - atMs)),
          };
        })
        .sort((a, b) => b.waits + b.conflicts - (a.waits + a.conflicts))
        .slice(0, most),
      truncated,
    },
  };
}

interface Counts {
  locks: number;
  intents: number;
  waits: boolean;
}

const noBytes = Buffer.alloc(0);

function countsOf(transactions: Map<string, Counts>, name: string): Counts {
  let counts = transactions.get(name);
  if (counts === undefined) {
    counts = { locks: 0, intents: 0, waits: false };
    transactions.set(name, counts);
  }
  return counts;
}

/** @returns 0 for a key of a range that has left this store */
function rangeFinder(replicas: ReadonlyMap<number, Replica>): (key: Buffer) => number {
  const all = [...replicas.values()];
  return (key) =>
    all.find(
      ({ descriptor: { startKey, endKey } }) =>
        key.compare(startKey) >= 0 && key.compare(endKey) < 0,
    )?.rangeId ?? 0;
}
