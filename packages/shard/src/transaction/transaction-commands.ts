/**
 * Transactions that write to several ranges, at the leaseholder: lays intents and the STAGING record, decides, prevents and
 * resolves. All of it is evaluated on what is applied plus what is proposed, replicated as physical changes, and answered
 * when applied: also what changes nothing, because the answer must not rest on something that may never be committed.
 * Everything is idempotent by the transaction's id, so nothing here needs a session.
 *
 * Why a promise holds. An intent is laid only above every version of its key and not below what others have read, and keeps
 * other writers off until it is resolved; so all intents of a STAGING record at its timestamp mean that the transaction can
 * commit there. Recovery asks each promise: found, or made impossible by a marker; then it sets the record, comparing with
 * what it saw. A record that was staged anew at another timestamp in between makes that fail.
 *
 * Why nobody waits for the record. When all promises are kept the coordinator announces it everywhere while it decides the
 * record. From then on an intent is as good as a version to those who read under a lock. A write that comes over one makes
 * it a version, and leaves a marker in the same command that tells recovery that the promise was kept: the record may still
 * say STAGING, and the intent is gone. The resolution that follows the decision takes the marker away. An announcement that
 * is lost, with its leaseholder or on its way, costs the wait that it would have saved.
 *
 * Why locks go last. Who waits for one is evaluated the moment it is free, and must find what was decided in its view.
 *
 * Why late messages do no harm. A prepare of a committed transaction comes below the versions that it made itself. One of an
 * aborted transaction finds the record or a marker, which are kept longer than a prepare is accepted; or lays an intent that
 * whoever meets it removes, because the record says ABORTED, or nothing, which is made to say so.
 */
import {
  asBuffer,
  keySuccessor,
  probe,
  spanContains,
  timestampSpan,
  toTimestamp,
} from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import { type Answer, type Caller, RefusalReason, refusal } from '../replica/answers.ts';
import {
  type Command,
  commandBytes,
  emptyCommand,
  type PhysicalWrite,
} from '../replica/command.ts';
import {
  checkWriteRequest,
  firstFailedCondition,
  newestStored,
  physicalWrite,
  type RequestCheck,
} from '../replica/evaluation.ts';
import type { Attempt, LeaseholderCore } from '../replica/leaseholder-core.ts';
import { pushedTo } from '../replica/write-commands.ts';
import { transactionIdBytes } from '../state/storage-keys.ts';
import { encodeStored } from '../state/stored-value.ts';
import {
  bytesOfName,
  type Intent,
  isMarker,
  makeIntent,
  makeRecord,
  nameOf,
  recordName,
  type TransactionRecord,
  TransactionStatus,
} from '../state/transaction-rows.ts';
import type { IntentChange, RecordChange } from '../state/transaction-state.ts';
import { leastTimestamp, lockOwnerOf, waitForOthers } from './obstacles.ts';
import { bumpReads, checkReadChecks } from './read-checks.ts';
import { validateReads } from './read-validation.ts';

type PrepareRequest = flotilla.kv.PrepareRequest.$Properties;
type DecideRequest = flotilla.kv.DecideRequest.$Properties;
type PreventRequest = flotilla.kv.PreventRequest.$Properties;
type ResolveRequest = flotilla.kv.ResolveRequest.$Properties;
type Resolution = flotilla.kv.Resolution.$Properties;
type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

const { TRANSACTION_NONE, TRANSACTION_STAGING, TRANSACTION_COMMITTED } = TransactionStatus;
const { TRANSACTION_ABORTED, TRANSACTION_PREVENTED, TRANSACTION_RESOLVED } = TransactionStatus;

const noBytes = Buffer.alloc(0);
/** Records forgotten per command. */
const collectedPerCommand = 32;

/** What a command is made of, while it grows. */
interface Changes {
  /** Of the command. */
  readonly timestamp: number;
  readonly writes: PhysicalWrite[];
  readonly intents: IntentChange[];
  readonly records: RecordChange[];
  /** `recordName`s of keys and transactions whose intents are resolved, or markers dropped. */
  readonly resolved: Set<string>;
  bytes: number;
}

export class TransactionCommands {
  private readonly core: LeaseholderCore;

  constructor(core: LeaseholderCore) {
    this.core = core;
  }

  evaluatePrepare(
    attempt: Attempt,
    request: PrepareRequest,
    header: TransactionHeader,
  ): Answer | undefined {
    const { core } = this;
    const { hlc, limits } = core.context;
    const checked = this.checkPrepare(request, header);
    if (!checked.ok) return core.refused(checked);
    if (core.isOverloaded) return core.busy();
    const commitTimestamp = request.commitTimestamp ?? 0;
    if (!hlc.observe(toTimestamp(commitTimestamp)).ok)
      return refusal(RefusalReason.INVALID, 'the commit timestamp is too far ahead');
    if (commitTimestamp < hlc.now() - timestampSpan(limits.prepareAgeMs))
      return aborted('the commit timestamp is too old');
    const owner = lockOwnerOf(header);
    const transaction = owner.name;
    const forbidden = this.forbids(request, transaction, commitTimestamp);
    if (forbidden !== undefined) return forbidden;
    const laid = this.laidBefore(request, transaction, commitTimestamp);
    if (laid !== undefined) return laid === 'all' ? this.repeat(attempt.caller) : pushedTo(laid);
    const waits = waitForOthers(core, attempt, request, () => owner);
    if (waits !== undefined) return waits.answer;
    const conditions = request.conditions ?? [];
    const failed = firstFailedCondition(core.view(), conditions);
    if (failed !== undefined)
      return this.replicateFailure(attempt.caller, failed.index, failed.foundTimestamp);
    const least = leastTimestamp(core, request.mutations ?? [], transaction);
    if (least > commitTimestamp) {
      probe('preparePushed');
      return pushedTo(least);
    }
    const validation = validateReads(core, attempt, request.readChecks ?? [], {
      upTo: commitTimestamp,
      transaction,
    });
    if (validation.kind === 'later') return validation.answer;
    if (validation.kind === 'failed')
      return this.replicateFailure(
        attempt.caller,
        conditions.length + validation.index,
        validation.foundTimestamp,
      );
    bumpReads(core.memory, validation.checks, commitTimestamp, transaction);
    return this.lay(attempt.caller, request, header);
  }

  evaluateDecide(caller: Caller, request: DecideRequest): Answer | undefined {
    const { core } = this;
    const key = asBuffer(request.anchorKey ?? noBytes);
    const id = request.transactionId ?? noBytes;
    const outcome = request.outcome ?? TRANSACTION_NONE;
    const expected = request.expected ?? TRANSACTION_NONE;
    const checked = this.checkKeys(id, [key, ...(request.resolveKeys ?? [])]);
    if (!checked.ok) return core.refused(checked);
    if (!isDecision(expected, outcome))
      return refusal(RefusalReason.INVALID, 'no decision that can be made');
    const transaction = nameOf(id);
    const found = core.memory.recordOf(nameOf(key), transaction);
    const status = statusOf(found);
    const matches =
      status === expected &&
      (expected === TRANSACTION_NONE || found?.commitTimestamp === request.expectedTimestamp);
    let changes = this.newChanges();
    const before = found === undefined ? 0 : found.commitTimestamp;
    const decided = matches ? outcome : status;
    const commitTimestamp = decided === TRANSACTION_COMMITTED ? before : 0;
    // Whoever asked with another timestamp than that of the promise has to know it to ask again.
    const recordTimestamp = decided === TRANSACTION_STAGING ? before : commitTimestamp;
    const forget = request.forget === true && decided === TRANSACTION_COMMITTED;
    if (forget) {
      if (found !== undefined) changes.records.push({ key, transactionId: id, stored: noBytes });
    } else if (matches) {
      probe(outcome === TRANSACTION_COMMITTED ? 'transactionCommitted' : 'transactionAborted');
      const promisedKeys = outcome === TRANSACTION_COMMITTED ? (found?.promisedKeys ?? []) : [];
      const record = { key, transaction, status: outcome, commitTimestamp, promisedKeys };
      changes.records.push(recordChange(makeRecord({ ...record, writtenAt: changes.timestamp })));
    }
    if (decided === TRANSACTION_COMMITTED || decided === TRANSACTION_ABORTED)
      for (const each of request.resolveKeys ?? [])
        changes = this.resolveKey(changes, each, transaction, commitTimestamp);
    const answer = this.append(caller, changes, {
      decide: { status: decided, commitTimestamp: recordTimestamp },
    });
    core.locks.releaseAll(transaction);
    return answer;
  }

  evaluatePrevent(caller: Caller, request: PreventRequest): Answer | undefined {
    const { core } = this;
    const id = request.transactionId ?? noBytes;
    const keys = request.keys ?? [];
    const commitTimestamp = request.commitTimestamp ?? 0;
    const checked = this.checkKeys(id, keys);
    if (!checked.ok) return core.refused(checked);
    const transaction = nameOf(id);
    const changes = this.newChanges();
    let allFound = true;
    for (const key of keys) {
      const name = nameOf(key);
      const intent = core.memory.intentOf(name);
      if (intent?.transaction === transaction && intent.timestamp === commitTimestamp) {
        probe('promiseFound');
        continue;
      }
      const record = core.memory.recordOf(name, transaction);
      if (record?.status === TRANSACTION_RESOLVED && record.commitTimestamp === commitTimestamp)
        continue;
      allFound = false;
      // A record beside its anchor says it all already; a marker may have to reach further.
      if (record !== undefined && record.status !== TRANSACTION_PREVENTED) continue;
      if (record !== undefined && record.commitTimestamp >= commitTimestamp) continue;
      probe('transactionPrevented');
      changes.records.push(
        recordChange(
          makeRecord({
            key: asBuffer(key),
            transaction,
            status: TRANSACTION_PREVENTED,
            commitTimestamp,
            promisedKeys: [],
            writtenAt: changes.timestamp,
          }),
        ),
      );
    }
    return this.append(caller, changes, { prevent: { allFound } });
  }

  evaluateResolve(caller: Caller, request: ResolveRequest): Answer | undefined {
    const { core } = this;
    for (const { transactionId, keys, forgetAnchorKey } of request.resolutions ?? []) {
      const anchors = forgetAnchorKey && forgetAnchorKey.length > 0 ? [forgetAnchorKey] : [];
      const checked = this.checkKeys(transactionId ?? noBytes, [...(keys ?? []), ...anchors]);
      if (!checked.ok) return core.refused(checked);
    }
    const resolutions = request.resolutions ?? [];
    if (resolutions.length > 0 && resolutions.every(({ undecided }) => undecided === true)) {
      for (const resolution of resolutions) this.announce(resolution);
      return { resolve: {} };
    }
    let changes = this.newChanges();
    for (const resolution of resolutions) {
      const transaction = nameOf(resolution.transactionId ?? noBytes);
      const commitTimestamp = resolution.committed ? (resolution.commitTimestamp ?? 0) : 0;
      for (const key of resolution.keys ?? [])
        changes = this.resolveKey(changes, key, transaction, commitTimestamp);
      const { forgetAnchorKey, byCoordinator } = resolution;
      if (!forgetAnchorKey || forgetAnchorKey.length === 0) continue;
      this.forget(changes, asBuffer(forgetAnchorKey), transaction, byCoordinator === true);
    }
    const answer = this.append(caller, changes, { resolve: {} });
    for (const { transactionId } of resolutions)
      core.locks.releaseAll(nameOf(transactionId ?? noBytes));
    return answer;
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

  /** Makes the intent a version, perhaps before the record says COMMITTED. @param intent announced */
  resolveAnnounced(intent: Intent): void {
    const { key, transaction, timestamp, anchorKey } = intent;
    probe('announcedResolved');
    const changes = this.resolveKey(this.newChanges(), key, transaction, timestamp);
    const record = this.core.memory.recordOf(nameOf(key), transaction);
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
    this.append(undefined, changes, undefined);
  }

  private checkPrepare(request: PrepareRequest, header: TransactionHeader): RequestCheck {
    const { core } = this;
    const { limits } = core.context;
    const mutations = request.mutations ?? [];
    const promised = request.promisedKeys ?? [];
    if (mutations.length === 0) return invalid('a prepare without a mutation promises nothing');
    const commitTimestamp = request.commitTimestamp ?? 0;
    if (!Number.isSafeInteger(commitTimestamp) || commitTimestamp < 1)
      return invalid('a prepare needs a timestamp');
    if ((request.anchorKey?.length ?? 0) === 0) return invalid('a prepare needs an anchor');
    const promisedBytes = promised.reduce((sum, key) => sum + key.length, 0);
    if (promisedBytes > limits.commandBytesMax / 2)
      return { ok: false, kind: 'tooLarge', reason: 'too many keys are promised' };
    const anchor = request.stage ? [request.anchorKey ?? noBytes] : [];
    const ids = this.checkKeys(header.id ?? noBytes, anchor);
    if (!ids.ok) return ids;
    const writes = checkWriteRequest(request, core.bounds(), limits);
    if (!writes.ok) return writes;
    return checkReadChecks(request.readChecks ?? [], core.bounds(), limits.commandConditionsMax);
  }

  private checkKeys(id: Uint8Array, keys: readonly Uint8Array[]): RequestCheck {
    const { core } = this;
    if (id.length !== transactionIdBytes) return invalid('a transaction id has 16 bytes');
    const bounds = core.bounds();
    if (keys.length > core.context.limits.commandMutationsMax)
      return { ok: false, kind: 'tooLarge', reason: 'too many keys' };
    for (const key of keys)
      if (!spanContains(bounds, key))
        return { ok: false, kind: 'outside', span: { startKey: key, endKey: keySuccessor(key) } };
    return { ok: true };
  }

  /** The record or a marker says that this prepare comes too late. */
  private forbids(
    { stage, anchorKey, mutations }: PrepareRequest,
    transaction: string,
    commitTimestamp: number,
  ): Answer | undefined {
    const { memory } = this.core;
    if (stage) {
      const record = memory.recordOf(nameOf(anchorKey ?? noBytes), transaction);
      const status = statusOf(record);
      if (status === TRANSACTION_ABORTED || status === TRANSACTION_COMMITTED)
        return aborted('the transaction is decided');
      if (status === TRANSACTION_STAGING && (record?.commitTimestamp ?? 0) > commitTimestamp)
        return pushedTo(record?.commitTimestamp ?? 0);
    }
    for (const { key } of mutations ?? []) {
      const record = memory.recordOf(nameOf(key ?? noBytes), transaction);
      if (record === undefined) continue;
      if (record.status === TRANSACTION_ABORTED) return aborted('the transaction is aborted');
      if (record.status === TRANSACTION_PREVENTED && record.commitTimestamp >= commitTimestamp)
        return aborted('the transaction was prevented');
    }
    return undefined;
  }

  /** Of a repeated prepare: whether all its intents are there, or the later timestamp that has taken its place. */
  private laidBefore(
    { mutations }: PrepareRequest,
    transaction: string,
    commitTimestamp: number,
  ): 'all' | number | undefined {
    let missing = false;
    for (const { key } of mutations ?? []) {
      const intent = this.core.memory.intentOf(nameOf(key ?? noBytes));
      if (intent?.transaction !== transaction) missing = true;
      else if (intent.timestamp > commitTimestamp) return intent.timestamp;
      else if (intent.timestamp < commitTimestamp) missing = true;
    }
    return missing ? undefined : 'all';
  }

  private repeat(caller: Caller): Answer | undefined {
    probe('prepareRepeated');
    const answer = { prepare: { prepared: true } };
    return this.append(caller, this.newChanges(), answer);
  }

  private replicateFailure(
    caller: Caller,
    failedCondition: number,
    foundTimestamp: number,
  ): Answer | undefined {
    const answer = { prepare: { prepared: false, failedCondition, foundTimestamp } };
    return this.append(caller, this.newChanges(), answer);
  }

  private lay(
    caller: Caller,
    request: PrepareRequest,
    header: TransactionHeader,
  ): Answer | undefined {
    const transaction = nameOf(header.id ?? noBytes);
    const anchorKey = asBuffer(request.anchorKey ?? noBytes);
    const commitTimestamp = request.commitTimestamp ?? 0;
    const changes = this.newChanges();
    // A key that is named twice is written once, as it is named last.
    const intents = new Map<string, Intent>();
    for (const { key, value, isDelete } of request.mutations ?? []) {
      const bytes = asBuffer(key ?? noBytes);
      const intent = makeIntent({
        key: bytes,
        transaction,
        anchorKey,
        coordinator: header.coordinator ?? '',
        timestamp: commitTimestamp,
        isDelete: isDelete === true,
        value: isDelete === true ? noBytes : asBuffer(value ?? noBytes),
      });
      intents.set(nameOf(bytes), intent);
    }
    for (const { key, stored } of intents.values()) changes.intents.push({ key, stored });
    if (request.stage) {
      const record = makeRecord({
        key: anchorKey,
        transaction,
        status: TRANSACTION_STAGING,
        commitTimestamp,
        promisedKeys: request.promisedKeys ?? [],
        writtenAt: changes.timestamp,
      });
      changes.records.push(recordChange(record));
    }
    this.core.context.onPromise(false);
    return this.append(caller, changes, { prepare: { prepared: true } });
  }

  /**
   * Adds what becomes of one key. What is large already goes into the log first.
   * @param commitTimestamp 0: the transaction is aborted
   * @returns the changes to go on with
   */
  private resolveKey(
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
      this.append(undefined, changes, undefined);
      changes = this.newChanges();
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

  private newChanges(): Changes {
    return {
      timestamp: this.core.nextTimestamp(),
      writes: [],
      intents: [],
      records: [],
      resolved: new Set(),
      bytes: 0,
    };
  }

  private append(
    caller: Caller | undefined,
    { timestamp, writes, intents, records }: Changes,
    answer: Answer | undefined,
  ): Answer | undefined {
    const { core } = this;
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
    const command: Command = { ...emptyCommand(timestamp), writes, intents, records };
    if (commandBytes(command) > commandBytesMax)
      return refusal(RefusalReason.TOO_LARGE, `the command exceeds ${commandBytesMax} bytes`);
    core.append(caller, command, answer);
    return undefined;
  }
}

function recordChange({ key, transaction, stored }: TransactionRecord): RecordChange {
  return { key, transactionId: bytesOfName(transaction), stored };
}

/** A marker is no record: nobody has decided. */
function statusOf(record: TransactionRecord | undefined): TransactionStatus {
  return record === undefined || isMarker(record) ? TRANSACTION_NONE : record.status;
}

function isDecision(expected: TransactionStatus, outcome: TransactionStatus): boolean {
  if (outcome === TRANSACTION_ABORTED)
    return expected === TRANSACTION_NONE || expected === TRANSACTION_STAGING;
  return outcome === TRANSACTION_COMMITTED && expected === TRANSACTION_STAGING;
}

function aborted(message: string): Answer {
  return refusal(RefusalReason.TRANSACTION_ABORTED, message);
}

function invalid(reason: string): RequestCheck & { readonly ok: false } {
  return { ok: false, kind: 'invalid', reason };
}
