/**
 * The intents and records of a range, as far as its log is applied and visible: in memory at every replica, so that a
 * range without any pays one look at a size. The rows in the engine are the same, kept by `Replica.apply`; this is filled
 * from them when a range is opened, and by snapshots. Changed only when the engine shows the rows. Decides nothing.
 */
import { asBuffer, compareBytes, type Span } from '@flotilla/base';
import type { Engine, EngineRow, EngineSpan } from '../engine/engine.ts';
import { type OrderedByName, orderedByName } from './ordered-by-name.ts';
import { dataPrefixBytes, partsOfRecord, type StorageSpace, userKeyOf } from './storage-keys.ts';
import { checkStored } from './stored-value.ts';
import {
  decodeIntent,
  decodeRecord,
  type Intent,
  nameOf,
  recordName,
  type TransactionRecord,
  TransactionStatus,
} from './transaction-rows.ts';

/** What a command does to an intent. */
export interface IntentChange {
  readonly key: Uint8Array;
  /** Stored form; empty: it goes. */
  readonly stored: Uint8Array;
}

/** What a command does to a record. */
export interface RecordChange {
  readonly key: Uint8Array;
  readonly transactionId: Uint8Array;
  /** Stored form; empty: it goes. */
  readonly stored: Uint8Array;
}

export class TransactionState {
  /** Scans look for the first in their way, of as many as a bulk load has left. */
  readonly intents: OrderedByName<Intent> = orderedByName();
  /** By `recordName`. */
  readonly records: Map<string, TransactionRecord> = new Map();
  /** Records that may be forgotten some time after they were written; mostly in that order. */
  readonly collectible: Map<string, TransactionRecord> = new Map();
  /** Records of transactions that are not decided, or whose promises may not be resolved. */
  readonly undecided: Map<string, TransactionRecord> = new Map();

  get isEmpty(): boolean {
    return this.intents.size === 0 && this.records.size === 0;
  }

  applyIntent({ key, stored }: IntentChange): void {
    if (stored.length === 0) this.intents.delete(nameOf(key));
    else this.addIntent(key, asBuffer(stored));
  }

  applyRecord({ key, transactionId, stored }: RecordChange): void {
    if (stored.length > 0) {
      this.addRecord(key, nameOf(transactionId), asBuffer(stored));
      return;
    }
    const name = recordName(nameOf(key), nameOf(transactionId));
    this.records.delete(name);
    this.collectible.delete(name);
    this.undecided.delete(name);
  }

  /** @param stored checked; copied, because it may be a view of something much larger */
  addIntent(key: Uint8Array, stored: Buffer): void {
    this.intents.set(nameOf(key), decodeIntent(Buffer.from(key), Buffer.from(stored)));
  }

  /** @param stored as in `addIntent` */
  addRecord(key: Uint8Array, transaction: string, stored: Buffer): void {
    const record = decodeRecord(Buffer.from(key), transaction, Buffer.from(stored));
    const name = recordName(nameOf(key), transaction);
    this.records.set(name, record);
    this.collectible.delete(name);
    if (isCollectible(record)) this.collectible.set(name, record);
    if (isUndecided(record)) this.undecided.set(name, record);
    else this.undecided.delete(name);
  }

  /** @param suffix a record's engine key without tag and storage id */
  addRecordRow(suffix: Buffer, stored: Buffer): void {
    const { key, transactionId } = partsOfRecord(suffix) ?? { key: suffix, transactionId: suffix };
    this.addRecord(key, nameOf(transactionId), checkStored(key, stored));
  }

  /** Moves what belongs to keys from `key` on into a state of its own. */
  splitAt(key: Uint8Array): TransactionState {
    const right = new TransactionState();
    for (const [name, intent] of [...this.intents.entries(nameOf(key))]) {
      right.intents.set(name, intent);
      this.intents.delete(name);
    }
    for (const [name, record] of this.records) {
      if (compareBytes(record.key, key) < 0) continue;
      right.records.set(name, record);
      this.records.delete(name);
      if (this.collectible.delete(name)) right.collectible.set(name, record);
      if (this.undecided.delete(name)) right.undecided.set(name, record);
    }
    return right;
  }

  /** Adds the rows of a range from the engine. */
  async load(engine: Engine, space: StorageSpace, { startKey, endKey }: Span): Promise<void> {
    await forEachRow(engine, space.intentSpan(startKey, endKey), ({ key, value }) => {
      const userKey = userKeyOf(key);
      this.addIntent(userKey, checkStored(userKey, value));
    });
    await forEachRow(engine, space.recordSpan(startKey, endKey), ({ key, value }) =>
      this.addRecordRow(key.subarray(dataPrefixBytes), value),
    );
  }
}

/**
 * Nothing is lost with it: an ABORTED transaction without a record is aborted again by whoever meets what it left, a
 * COMMITTED one without promises has left nothing. Before their time they stop messages that are late.
 */
function isCollectible({ status, promisedKeys }: TransactionRecord): boolean {
  switch (status) {
    case TransactionStatus.TRANSACTION_ABORTED:
    case TransactionStatus.TRANSACTION_PREVENTED:
      return true;
    case TransactionStatus.TRANSACTION_COMMITTED:
      return promisedKeys.length === 0;
    default:
      return false;
  }
}

function isUndecided({ status, promisedKeys }: TransactionRecord): boolean {
  return (
    status === TransactionStatus.TRANSACTION_STAGING ||
    (status === TransactionStatus.TRANSACTION_COMMITTED && promisedKeys.length > 0)
  );
}

async function forEachRow(
  engine: Engine,
  span: EngineSpan,
  take: (row: EngineRow) => void,
): Promise<void> {
  const iterator = engine.iterate(span);
  try {
    for (;;) {
      const rows = await iterator.next(256);
      if (rows.length === 0) return;
      for (const row of rows) take(row);
    }
  } finally {
    await iterator.close();
  }
}
