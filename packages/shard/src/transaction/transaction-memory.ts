/**
 * What a leaseholder knows of transactions beyond the applied state: intents and records that it has evaluated and not yet
 * seen applied, what was read up to when, what was written lately. Ends with the leadership. Asked by everything that
 * evaluates; decides nothing.
 */
import { type Span, timestampSpan } from '@flotilla/base';
import type { Command } from '../replica/command.ts';
import { namesWithin, orderedByName } from '../state/ordered-by-name.ts';
import {
  bytesOfName,
  decodeIntent,
  decodeRecord,
  type Intent,
  nameOf,
  recordName,
  type TransactionRecord,
} from '../state/transaction-rows.ts';
import type { IntentChange, RecordChange, TransactionState } from '../state/transaction-state.ts';
import { ReadTimestampCache } from './read-timestamp-cache.ts';
import { RecentWrites } from './recent-writes.ts';

/** Writes are no longer remembered when no transaction has read for so long. */
const watchSpan = timestampSpan(60_000);

/** Intents that are looked at to find old ones: those of a large transaction are most of what there is. */
const looksMax = 256;

interface Pending<Value, Change> {
  readonly value: Value | undefined;
  readonly change: Change;
}

/** A walk through data and history on behalf of a check. */
export interface LookUp {
  /** As far as it looks. */
  readonly until: number;
  /** The timestamp of a write in (since, until], or 0. */
  readonly found: Promise<number>;
}

export class TransactionMemory {
  reads: ReadTimestampCache = new ReadTimestampCache(0);
  /** Undefined while no transaction reads here. */
  recent: RecentWrites | undefined;
  /** Not below the timestamp of any deletion that was evaluated. */
  lastDeletion = 0;
  /** Under way, by what they look for. */
  readonly lookUps: Map<string, LookUp> = new Map();
  private watchedAt = 0;
  private readonly applied: () => TransactionState;
  /** Of transactions that are committed, as their coordinators say; their records may not say so yet. */
  private readonly announced = new WeakSet<Intent>();
  private readonly intents = orderedByName<Pending<Intent, IntentChange>>();
  private readonly records = new Map<string, Pending<TransactionRecord, RecordChange>>();

  /** @param applied the replica's: it may be replaced as a whole */
  constructor(applied: () => TransactionState) {
    this.applied = applied;
  }

  /** The applied state alone. */
  get state(): TransactionState {
    return this.applied();
  }

  get hasIntents(): boolean {
    return this.intents.size > 0 || this.state.intents.size > 0;
  }

  /** Something here, or on its way here, is not finished. */
  get hasPromises(): boolean {
    return this.hasIntents || this.records.size > 0 || this.state.undecided.size > 0;
  }

  intentOf(name: string): Intent | undefined {
    const pending = this.intents.get(name);
    return pending === undefined ? this.state.intents.get(name) : pending.value;
  }

  /**
   * An intent of anybody but `transaction` on the key that a read must not pass by: one that is laid or being laid, and
   * one whose resolution is not visible yet.
   */
  unsettledIntent(name: string, transaction: string, upTo: number): Intent | undefined {
    const { value } = this.intents.get(name) ?? {};
    for (const intent of [value, this.state.intents.get(name)])
      if (intent !== undefined && intent.transaction !== transaction && intent.timestamp <= upTo)
        return intent;
    return undefined;
  }

  /** Whether some intent, laid or being laid, is above `after` and at or below `upTo`: as far as the first of them tell. */
  hasIntentWithin(after: number, upTo: number): boolean {
    const isWithin = (timestamp: number): boolean => timestamp > after && timestamp <= upTo;
    let looks = 0;
    for (const { value } of this.intents.values()) {
      if (value !== undefined && isWithin(value.timestamp)) return true;
      if (++looks === looksMax) break;
    }
    looks = 0;
    for (const { timestamp } of this.state.intents.values()) {
      if (isWithin(timestamp)) return true;
      if (++looks === looksMax) break;
    }
    return false;
  }

  /** The transaction is committed at the timestamp of this intent. */
  announce(intent: Intent): void {
    this.announced.add(intent);
  }

  isAnnounced(intent: Intent): boolean {
    return this.announced.has(intent);
  }

  /** As `unsettledIntent`, for the keys of a span, as a scan meets them. Nothing may change on the way. */
  *unsettledIntents(
    span: Span,
    { transaction, upTo, reverse }: { transaction: string; upTo: number; reverse: boolean },
  ): Iterable<Intent> {
    if (!this.hasIntents) return;
    for (const name of this.namesWithin(span, reverse)) {
      const intent = this.unsettledIntent(name, transaction, upTo);
      if (intent !== undefined) yield intent;
    }
  }

  /** An intent of another transaction on a key of the span, up to a timestamp, as evaluation sees it. */
  foreignIntentIn(span: Span, transaction: string, upTo: number): Intent | undefined {
    if (!this.hasIntents) return undefined;
    for (const name of this.namesWithin(span, false)) {
      const intent = this.intentOf(name);
      if (intent !== undefined && intent.transaction !== transaction && intent.timestamp <= upTo)
        return intent;
    }
    return undefined;
  }

  private namesWithin(span: Span, reverse: boolean): Iterable<string> {
    return namesWithin(span, [this.intents, this.state.intents], reverse);
  }

  recordOf(keyName: string, transaction: string): TransactionRecord | undefined {
    const name = recordName(keyName, transaction);
    const pending = this.records.get(name);
    return pending === undefined ? this.state.records.get(name) : pending.value;
  }

  /** Records that were written before `timestamp` and may be forgotten; none that is about to change. */
  collectible(before: number, most: number): TransactionRecord[] {
    const found: TransactionRecord[] = [];
    for (const [name, record] of this.state.collectible) {
      if (record.writtenAt >= before || found.length === most) break;
      if (!this.records.has(name)) found.push(record);
    }
    return found;
  }

  /** The command was evaluated: what comes after sees it. */
  add(command: Command): void {
    for (const change of command.intents) {
      const { key, stored } = change;
      const value =
        stored.length === 0 ? undefined : decodeIntent(Buffer.from(key), Buffer.from(stored));
      this.intents.set(nameOf(key), { value, change });
    }
    for (const change of command.records) {
      const transaction = nameOf(change.transactionId);
      const value =
        change.stored.length === 0
          ? undefined
          : decodeRecord(Buffer.from(change.key), transaction, Buffer.from(change.stored));
      this.records.set(recordName(nameOf(change.key), transaction), { value, change });
    }
  }

  /** The command is applied and visible; later changes stay. */
  settle(command: Command): void {
    for (const change of command.intents) {
      const name = nameOf(change.key);
      if (this.intents.get(name)?.change === change) this.intents.delete(name);
    }
    for (const change of command.records) {
      const name = recordName(nameOf(change.key), nameOf(change.transactionId));
      if (this.records.get(name)?.change === change) this.records.delete(name);
    }
  }

  /** A version or deletion of the key was evaluated. */
  noteWrite(name: string, timestamp: number, isDelete: boolean): void {
    if (isDelete && timestamp > this.lastDeletion) this.lastDeletion = timestamp;
    if (this.recent === undefined) return;
    if (timestamp - this.watchedAt > watchSpan) this.recent = undefined;
    else this.recent.add(name, timestamp);
  }

  /** From now on writes are remembered, for a while. @param lastTimestamp nothing was written above it */
  watchWrites(lastTimestamp: number): RecentWrites {
    this.watchedAt = lastTimestamp;
    this.recent ??= new RecentWrites(lastTimestamp);
    return this.recent;
  }

  clear(): void {
    this.intents.clear();
    this.records.clear();
  }
}

/** Ids of transactions, back from their names. */
export const idOf: (transaction: string) => Buffer = bytesOfName;
