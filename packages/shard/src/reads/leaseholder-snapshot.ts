/** Which snapshot a read of a transaction has at the leaseholder, and what its answers say of it. */
import { probe, toTimestamp } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import { type Answer, RefusalReason, refusal } from '../replica/answers.ts';
import type { Leaseholder } from '../replica/leaseholder.ts';
import { nameOf } from '../state/transaction-rows.ts';
import { type HistoryReach, refuseTooOld } from './snapshot-age.ts';
import type { NoValues } from './snapshot-values.ts';

type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

const noBytes = Buffer.alloc(0);

export interface Snapshot {
  readonly transaction: string;
  readonly readTimestamp: number;
  readonly uncertaintyLimit: number;
  readonly storeTimestamp: number;
}

export type SnapshotSource = Pick<HistoryReach, 'protectedSnapshots'> & {
  /** The latest snapshot that a quorum has confirmed; 0 = none was asked. */
  readonly askedAt: number;
};

/** Which snapshot a read wants, or why it cannot have it. */
export function snapshotOf(
  leaseholder: Leaseholder,
  header: TransactionHeader,
  { askedAt, protectedSnapshots }: SnapshotSource,
): Snapshot | Answer {
  const { hlc, limits } = leaseholder.context;
  const storeTimestamp = hlc.now();
  const asked = header.readTimestamp ?? 0;
  const transaction = nameOf(header.id ?? noBytes);
  // Above everything that was evaluated here before the read came: nothing is uncertain then.
  const newest = askedAt || Math.max(storeTimestamp, leaseholder.lastTimestamp);
  const readTimestamp = asked === 0 ? newest : asked;
  if (!Number.isSafeInteger(asked) || !hlc.observe(toTimestamp(readTimestamp)).ok)
    return refusal(RefusalReason.INVALID, 'the read timestamp is too far ahead');
  const reach = { historyTtlMs: limits.historyTtlMs, protectedSnapshots };
  const tooOld = refuseTooOld(readTimestamp, storeTimestamp, hlc, reach);
  if (tooOld !== undefined) return tooOld;
  const observed = header.observedTimestamp || Infinity;
  const narrowed = Math.min(
    header.uncertaintyLimit ?? 0,
    Math.max(observed, leaseholder.leadsSince),
  );
  const uncertaintyLimit = asked === 0 ? readTimestamp : Math.max(readTimestamp, narrowed);
  leaseholder.memory.watchWrites(leaseholder.lastTimestamp);
  return { transaction, readTimestamp, uncertaintyLimit, storeTimestamp };
}

/** Says of an answer which snapshot it is of. The answer is the caller's own, and becomes the result: nothing is copied. */
export function answerOfSnapshot(
  answer: Answer,
  { readTimestamp, storeTimestamp }: Snapshot,
): Answer {
  const of = answer.get ?? answer.scan;
  if (of) {
    of.readTimestamp = readTimestamp;
    of.storeTimestamp = storeTimestamp;
  }
  return answer;
}

/** What the reader hears instead of values. */
export function answerWithout(why: NoValues): Answer {
  return why.kind === 'uncertain' ? uncertain(why.timestamp) : why.answer;
}

function uncertain(timestamp: number): Answer {
  probe('readUncertain');
  return refusal(RefusalReason.UNCERTAIN, 'a version may be older than the transaction', {
    timestamp,
  });
}
