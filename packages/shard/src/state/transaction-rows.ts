/**
 * Intents and records of transactions: their form in memory and the payloads of their rows. Made once, by the leaseholder
 * that evaluates; log, followers and snapshots carry the stored form unchanged.
 */
import { asBuffer, ExitCode, FatalError } from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';
import { transactionIdBytes } from './storage-keys.ts';
import { encodeStored, storedPayload, storedTimestamp } from './stored-value.ts';

const rowVersion = 1;

export type TransactionStatus = flotilla.kv.TransactionStatus;
export const TransactionStatus: typeof flotilla.kv.TransactionStatus =
  flotilla.kv.TransactionStatus;

/** A write that waits for its transaction's outcome. */
export interface Intent {
  readonly key: Buffer;
  /** As `nameOf(transaction id)`. */
  readonly transaction: string;
  readonly anchorKey: Buffer;
  /** Client id. */
  readonly coordinator: string;
  /** At which the transaction wants to commit. */
  readonly timestamp: number;
  readonly isDelete: boolean;
  readonly value: Buffer;
  readonly stored: Buffer;
}

/** What became of a transaction, or a marker that forbids it to keep a promise. */
export interface TransactionRecord {
  /** Of the anchor; of a marker, the promised key. */
  readonly key: Buffer;
  readonly transaction: string;
  readonly status: TransactionStatus;
  /** STAGING, COMMITTED, RESOLVED: at which; PREVENTED: up to which. */
  readonly commitTimestamp: number;
  readonly promisedKeys: readonly Uint8Array[];
  /** Of the command that wrote it. */
  readonly writtenAt: number;
  readonly stored: Buffer;
}

/** It says something of one promised key, and nothing of the transaction. */
export function isMarker({ status }: TransactionRecord): boolean {
  return (
    status === TransactionStatus.TRANSACTION_PREVENTED ||
    status === TransactionStatus.TRANSACTION_RESOLVED
  );
}

/** Keys and transaction ids as keys of maps: one character per byte, in byte order. */
export function nameOf(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('latin1');
}

export function bytesOfName(name: string): Buffer {
  return Buffer.from(name, 'latin1');
}

/** Of a record in maps. Unique: ids have one length. */
export function recordName(key: string, transaction: string): string {
  return key + transaction;
}

/** Whatever it is handed is copied: an intent outlives the frame that it came in. */
export function makeIntent(intent: Omit<Intent, 'stored'>): Intent {
  const payload = flotilla.kv.IntentRow.encode({
    version: rowVersion,
    transactionId: bytesOfName(intent.transaction),
    anchorKey: intent.anchorKey,
    coordinator: intent.coordinator,
    isDelete: intent.isDelete,
    value: intent.value,
  }).finish();
  return decodeIntent(Buffer.from(intent.key), encodeStored(intent.key, intent.timestamp, payload));
}

export function makeRecord(record: Omit<TransactionRecord, 'stored'>): TransactionRecord {
  const payload = flotilla.kv.RecordRow.encode({
    version: rowVersion,
    status: record.status,
    commitTimestamp: record.commitTimestamp,
    promisedKeys: [...record.promisedKeys],
  }).finish();
  const key = Buffer.from(record.key);
  const stored = encodeStored(key, record.writtenAt, payload);
  return decodeRecord(key, record.transaction, stored);
}

/** @param stored checked */
export function decodeIntent(key: Buffer, stored: Buffer): Intent {
  try {
    const row = flotilla.kv.IntentRow.decode(storedPayload(stored));
    if (row.version !== rowVersion || row.transactionId?.length !== transactionIdBytes)
      throw new Error(`version ${row.version}, id of ${row.transactionId?.length ?? 0} bytes`);
    return {
      key,
      transaction: nameOf(row.transactionId),
      anchorKey: asBuffer(row.anchorKey ?? noBytes),
      coordinator: row.coordinator ?? '',
      timestamp: storedTimestamp(stored),
      isDelete: row.isDelete === true,
      value: asBuffer(row.value ?? noBytes),
      stored,
    };
  } catch (error) {
    throw new FatalError(ExitCode.engineCorrupt, `an intent does not decode: ${String(error)}`);
  }
}

/** @param stored checked */
export function decodeRecord(key: Buffer, transaction: string, stored: Buffer): TransactionRecord {
  try {
    const row = flotilla.kv.RecordRow.decode(storedPayload(stored));
    if (row.version !== rowVersion) throw new Error(`version ${row.version}`);
    return {
      key,
      transaction,
      status: row.status ?? TransactionStatus.TRANSACTION_NONE,
      commitTimestamp: row.commitTimestamp ?? 0,
      promisedKeys: row.promisedKeys ?? [],
      writtenAt: storedTimestamp(stored),
      stored,
    };
  } catch (error) {
    throw new FatalError(ExitCode.engineCorrupt, `a record does not decode: ${String(error)}`);
  }
}

const noBytes = Buffer.alloc(0);
