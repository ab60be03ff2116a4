/** Intents end: they become versions or go, whole transactions are announced and forgotten. */
import { asBuffer, probe } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import type { Answer, Caller } from '../replica/answers.ts';
import { newestStored, physicalWrite } from '../replica/evaluation.ts';
import type { LeaseholderCore } from '../replica/leaseholder-core.ts';
import { encodeStored } from '../state/stored-value.ts';
import {
  bytesOfName,
  type Intent,
  makeRecord,
  nameOf,
  recordName,
  TransactionStatus,
} from '../state/transaction-rows.ts';
import {
  append,
  type Changes,
  checkKeys,
  newChanges,
  recordChange,
} from './transaction-changes.ts';

type ResolveRequest = flotilla.kv.ResolveRequest.$Properties;
type Resolution = flotilla.kv.Resolution.$Properties;

const { TRANSACTION_STAGING, TRANSACTION_COMMITTED, TRANSACTION_RESOLVED } = TransactionStatus;

const noBytes = Buffer.alloc(0);

export class Resolutions {
  private readonly core: LeaseholderCore;

  constructor(core: LeaseholderCore) {
    this.core = core;
  }

  evaluate(caller: Caller, request: ResolveRequest): Answer | undefined {
    const { core } = this;
    for (const { transactionId, keys, forgetAnchorKey } of request.resolutions ?? []) {
      const anchors = forgetAnchorKey && forgetAnchorKey.length > 0 ? [forgetAnchorKey] : [];
      const checked = checkKeys(core, transactionId ?? noBytes, [...(keys ?? []), ...anchors]);
      if (!checked.ok) return core.refused(checked);
    }
    const resolutions = request.resolutions ?? [];
    if (resolutions.length > 0 && resolutions.every(({ undecided }) => undecided === true)) {
      for (const resolution of resolutions) this.announce(resolution);
      return { resolve: {} };
    }
    let changes = newChanges(core);
    for (const resolution of resolutions) {
      const transaction = nameOf(resolution.transactionId ?? noBytes);
      const commitTimestamp = resolution.committed ? (resolution.commitTimestamp ?? 0) : 0;
      for (const key of resolution.keys ?? [])
        changes = this.resolveKey(changes, key, transaction, commitTimestamp);
      const { forgetAnchorKey, byCoordinator } = resolution;
      if (!forgetAnchorKey || forgetAnchorKey.length === 0) continue;
      this.forget(changes, asBuffer(forgetAnchorKey), transaction, byCoordinator === true);
    }
    const answer = append(core, caller, changes, { resolve: {} });
    for (const { transactionId } of resolutions)
      core.locks.releaseAll(nameOf(transactionId ?? noBytes));
    return answer;
  }

  /** Makes the intent a version, perhaps before the record says COMMITTED. @param intent announced */
  resolveAnnounced(intent: Intent): void {
    const { core } = this;
    const { key, transaction, timestamp, anchorKey } = intent;
    probe('announcedResolved');
    const changes = this.resolveKey(newChanges(core), key, transaction, timestamp);
    const record = core.memory.recordOf(nameOf(key), transaction);
    const row = { key, transaction, commitTimestamp: timestamp, writtenAt: changes.timestamp };
    if (!key.equals(anchorKey)) {
      const promisedKeys = [key];
      changes.records.push(
        recordChange(makeRecord({ ...row, status: TRANSACTION_RESOLVED, promisedKeys })),
      );
    } else if (record?.status === TRANSACTION_STAGING && record.commitTimestamp === timestamp) {
      const { promisedKeys } = record;
      changes.records.push(
        recordChange(makeRecord({ ...row, status: TRANSACTION_COMMITTED, promisedKeys })),
      );
    }
    append(core, undefined, changes, undefined);
  }

  /**
   * Adds what becomes of one key. What is large already goes into the log first.
   * @param commitTimestamp 0: the transaction is aborted
   * @returns the changes to go on with
   */
  resolveKey(
    before: Changes,
    keyBytes: Uint8Array,
    transaction: string,
    commitTimestamp: number,
  ): Changes {
    const { core } = this;
    const name = nameOf(keyBytes);
    const intent = core.memory.intentOf(name);
    // Named twice in one command: what it does is in the list already, and not yet in the view. The key alone may be named
    // for several transactions.
    if (before.resolved.has(recordName(name, transaction))) return before;
    if (intent?.transaction !== transaction) {
      if (commitTimestamp > 0) this.dropMarker(before, name, transaction);
      return before;
    }
    const { key, timestamp, isDelete, value } = intent;
    let changes = before;
    if (changes.bytes > core.context.limits.entryBytesTarget) {
      append(core, undefined, changes, undefined);
      changes = newChanges(core);
    }
    changes.resolved.add(recordName(name, transaction));
    changes.intents.push({ key, stored: noBytes });
    changes.bytes += key.length;
    // Of another attempt of a committed transaction: nothing of the outcome.
    if (commitTimestamp === 0 || timestamp !== commitTimestamp) return changes;
    const previous = newestStored(core.view(), name, key);
    if (isDelete && previous === undefined) {
      // No trace in the data, and yet nothing may be written below it.
      core.memory.noteWrite(name, timestamp, true);
      return changes;
    }
    const stored = isDelete ? noBytes : encodeStored(key, timestamp, value);
    changes.writes.push(physicalWrite(key, stored, isDelete, previous, timestamp));
    changes.bytes += key.length + stored.length + (previous?.length ?? 0);
    return changes;
  }

  /** The record says COMMITTED: nobody will ask for the promise any more. */
  private dropMarker(changes: Changes, name: string, transaction: string): void {
    const record = this.core.memory.recordOf(name, transaction);
    if (record?.status !== TRANSACTION_RESOLVED) return;
    changes.resolved.add(recordName(name, transaction));
    const transactionId = bytesOfName(transaction);
    changes.records.push({ key: record.key, transactionId, stored: noBytes });
  }

  /** Everything that the transaction wrote is resolved. */
  private forget(changes: Changes, key: Buffer, transaction: string, atOnce: boolean): void {
    const { records, timestamp } = changes;
    const record = this.core.memory.recordOf(nameOf(key), transaction);
    if (record === undefined || record.status !== TRANSACTION_COMMITTED) return;
    if (atOnce) records.push({ key, transactionId: bytesOfName(transaction), stored: noBytes });
    else if (record.promisedKeys.length > 0)
      records.push(recordChange(makeRecord({ ...record, promisedKeys: [], writtenAt: timestamp })));
  }

  /** Who waits for the keys looks again. */
  private announce({ transactionId, commitTimestamp, keys }: Resolution): void {
    const { core } = this;
    const transaction = nameOf(transactionId ?? noBytes);
    for (const key of keys ?? []) {
      const name = nameOf(key);
      const intent = core.memory.intentOf(name);
      if (intent?.transaction !== transaction || intent.timestamp !== commitTimestamp) continue;
      core.memory.announce(intent);
      core.replica.waitingRoom.wake(name);
    }
    core.locks.releaseAll(transaction);
  }
}
