/**
 * Transactions whose coordinators are gone: intents and undecided records that have stood here for a while, at ranges that
 * this store leads, without a word from whoever laid them. What they promised may lie in ranges that this store knows
 * nothing of, so they are finished by somebody who can ask everywhere; this only finds them. One per store, with one timer
 * that runs while a range of the store holds a promise: an idle range costs nothing.
 *
 * Ages are counted from when a transaction was first seen here, not from its timestamp, which may be much older than the
 * promise. Only where the store has just come to lead a range timestamps must do: the coordinator goes on speaking to the
 * store that led it before, so that waiting anew would tell nothing. Who is taken for dead too early costs a retry at most:
 * whoever finishes it asks at its record first, and decides by what was promised.
 */
import {
  type Clock,
  DbError,
  type Logger,
  probe,
  type Timer,
  timestampFromWallMs,
  timestampSpan,
  toHex,
} from '@flotilla/base';
import type { Replica } from '../replica/replica.ts';
import { bytesOfName } from '../state/transaction-rows.ts';
import type { LiveTransactions } from './live-transactions.ts';

/** As far as one store can see it. */
export interface AbandonedTransaction {
  readonly transactionId: Uint8Array;
  readonly anchorKey: Uint8Array;
  /** Some keys with its intents. */
  readonly keys: readonly Uint8Array[];
}

/** Decides it if nobody has, and does what is left to do. Idempotent: several stores may find the same transaction. */
export type FinishTransaction = (transaction: AbandonedTransaction) => Promise<void>;

export interface AbandonedTransactionsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly live: LiveTransactions;
  readonly replicas: ReadonlyMap<number, Replica>;
  /** Without a sign of life for this long it is abandoned. Unit: ms. */
  readonly afterMs: number;
  /** Undefined: they are left to whoever meets them. */
  readonly finish: FinishTransaction | undefined;
  readonly onFatal: (error: unknown) => void;
}

/** Finished at a time; the next look finds the rest. */
const underWayMax = 64;
/** Intents of one transaction that are named. */
const keysMax = 1000;
/** Promises looked at each time: some milliseconds. A range's oldest come first. */
const rowsMax = 50_000;
/** Looks within `afterMs`. */
const looksPerAge = 6;

interface Found {
  readonly anchorKey: Uint8Array;
  readonly keys: Uint8Array[];
}

export class AbandonedTransactions {
  private readonly options: AbandonedTransactionsOptions;
  /** Ranges that may hold promises, and whether their leaseholder found them there when it came. */
  private readonly ranges = new Map<number, boolean>();
  /** Since when a transaction has been seen at every look. Unit: ms of the clock. */
  private seen = new Map<string, number>();
  private readonly underWay = new Set<string>();
  private timer: Timer | undefined;
  private stopped = false;

  constructor(options: AbandonedTransactionsOptions) {
    this.options = options;
  }

  /** The range holds a promise now, or may. @param inherited it was there before its leaseholder */
  watch(rangeId: number, inherited: boolean): void {
    if (this.options.finish === undefined) return;
    if (inherited || !this.ranges.has(rangeId)) this.ranges.set(rangeId, inherited);
    if (this.timer === undefined) this.arm();
  }

  start(): void {}

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  private arm(): void {
    if (this.stopped) return;
    const { clock, afterMs, onFatal } = this.options;
    this.timer = clock.setTimer(afterMs / looksPerAge, () => {
      this.timer = undefined;
      try {
        this.look();
      } catch (error) {
        onFatal(error);
        return;
      }
      if (this.ranges.size > 0) this.arm();
    });
  }

  private look(): void {
    const { clock, replicas, live, afterMs } = this.options;
    const now = clock.nowMs();
    const before = this.seen;
    const seen = new Map<string, number>();
    const found = new Map<string, Found>();
    let rows = 0;
    const abandoned = (
      transaction: string,
      anchorKey: Uint8Array,
      ageMs: number,
    ): Found | undefined => {
      const known = found.get(transaction);
      if (known !== undefined) return known;
      const since = seen.get(transaction) ?? before.get(transaction) ?? now - ageMs;
      seen.set(transaction, since);
      if (now - since < afterMs || live.isAlive(transaction)) return undefined;
      if (this.underWay.has(transaction)) return undefined;
      if (this.underWay.size + found.size >= underWayMax) return undefined;
      const first: Found = { anchorKey, keys: [] };
      found.set(transaction, first);
      return first;
    };
    for (const [rangeId, inherited] of this.ranges) {
      const leaseholder = replicas.get(rangeId)?.leaseholder;
      if (leaseholder === undefined || !leaseholder.memory.hasPromises) {
        this.ranges.delete(rangeId);
        continue;
      }
      // Until then somebody else may lead it.
      if (!leaseholder.isReady) continue;
      if (inherited) this.ranges.set(rangeId, false);
      const present = timestampFromWallMs(leaseholder.context.hlc.wallMs());
      const ageOf = (timestamp: number): number =>
        inherited ? Math.max(0, (present - timestamp) / timestampSpan(1)) : 0;
      const { undecided, intents } = leaseholder.memory.state;
      for (const { key, transaction, writtenAt } of undecided.values()) {
        if (++rows > rowsMax) break;
        abandoned(transaction, key, ageOf(writtenAt));
      }
      for (const { key, transaction, anchorKey, timestamp } of intents.values()) {
        if (++rows > rowsMax) break;
        const of = abandoned(transaction, anchorKey, ageOf(timestamp));
        if (of !== undefined && of.keys.length < keysMax) of.keys.push(key);
      }
    }
    this.seen = seen;
    for (const [transaction, { anchorKey, keys }] of found)
      void this.finish(transaction, anchorKey, keys);
  }

  private async finish(
    transaction: string,
    anchorKey: Uint8Array,
    keys: readonly Uint8Array[],
  ): Promise<void> {
    const { finish, logger, onFatal } = this.options;
    const transactionId = bytesOfName(transaction);
    const facts = { transaction: toHex(transactionId), intents: keys.length };
    this.underWay.add(transaction);
    probe('abandonedTransaction');
    try {
      await finish?.({ transactionId, anchorKey, keys });
      logger.debug(facts, 'abandoned_transaction_finished');
    } catch (error) {
      // The next look finds it again.
      if (error instanceof DbError)
        logger.debug({ ...facts, err: error }, 'abandoned_transaction_left');
      else onFatal(error);
    } finally {
      this.underWay.delete(transaction);
    }
  }
}
