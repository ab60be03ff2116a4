/**
 * What the commands of transactions are made of: changes that are gathered and appended to the log as one command, and what
 * all of them check. Called by prepares, decisions and resolutions alone.
 */
import { asBuffer, keySuccessor, spanContains, timestampSpan } from '@flotilla/base';
import { type Answer, type Caller, RefusalReason, refusal } from '../replica/answers.ts';
import { commandBytes, makeCommand, type PhysicalWrite } from '../replica/command.ts';
import type { RequestCheck } from '../replica/evaluation.ts';
import type { LeaseholderCore } from '../replica/leaseholder-core.ts';
import { transactionIdBytes } from '../state/storage-keys.ts';
import {
  bytesOfName,
  isMarker,
  type TransactionRecord,
  TransactionStatus,
} from '../state/transaction-rows.ts';
import type { IntentChange, RecordChange } from '../state/transaction-state.ts';

const noBytes = Buffer.alloc(0);
/** Records forgotten per command. */
const collectedPerCommand = 32;

/** What a command is made of, while it grows. */
export interface Changes {
  /** Of the command. */
  readonly timestamp: number;
  readonly writes: PhysicalWrite[];
  readonly intents: IntentChange[];
  readonly records: RecordChange[];
  /** `recordName`s of keys and transactions whose intents are resolved, or markers dropped. */
  readonly resolved: Set<string>;
  bytes: number;
}

export function newChanges(core: LeaseholderCore): Changes {
  return {
    timestamp: core.nextTimestamp(),
    writes: [],
    intents: [],
    records: [],
    resolved: new Set(),
    bytes: 0,
  };
}

/** Proposes the changes as one command, with some records that nobody needs any more. @returns why it cannot be */
export function append(
  core: LeaseholderCore,
  caller: Caller | undefined,
  { timestamp, writes, intents, records }: Changes,
  answer: Answer | undefined,
): Answer | undefined {
  const { recordTtlMs, commandBytesMax } = core.context.limits;
  const before = timestamp - timestampSpan(recordTtlMs);
  for (const { key, transaction } of core.memory.collectible(before, collectedPerCommand)) {
    const transactionId = bytesOfName(transaction);
    const touched = records.some(
      (change) =>
        asBuffer(change.key).equals(key) && asBuffer(change.transactionId).equals(transactionId),
    );
    if (!touched) records.push({ key, transactionId, stored: noBytes });
  }
  const command = makeCommand(timestamp, { writes, intents, records });
  if (commandBytes(command) > commandBytesMax)
    return refusal(RefusalReason.TOO_LARGE, `the command exceeds ${commandBytesMax} bytes`);
  core.append(caller, command, answer);
  return undefined;
}

/** Of a transaction's id and of keys that a request names. */
export function checkKeys(
  core: LeaseholderCore,
  id: Uint8Array,
  keys: readonly Uint8Array[],
): RequestCheck {
  if (id.length !== transactionIdBytes) return invalid('a transaction id has 16 bytes');
  const bounds = core.bounds();
  if (keys.length > core.context.limits.commandMutationsMax)
    return { ok: false, kind: 'tooLarge', reason: 'too many keys' };
  for (const key of keys)
    if (!spanContains(bounds, key))
      return { ok: false, kind: 'outside', span: { startKey: key, endKey: keySuccessor(key) } };
  return { ok: true };
}

export function recordChange({ key, transaction, stored }: TransactionRecord): RecordChange {
  return { key, transactionId: bytesOfName(transaction), stored };
}

/** A marker is no record: nobody has decided. */
export function statusOf(record: TransactionRecord | undefined): TransactionStatus {
  return record === undefined || isMarker(record)
    ? TransactionStatus.TRANSACTION_NONE
    : record.status;
}

export function invalid(reason: string): RequestCheck & { readonly ok: false } {
  return { ok: false, kind: 'invalid', reason };
}
