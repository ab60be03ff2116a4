/** Prepares of transactions over several ranges: intents, and the STAGING record in the anchor's range. */
import { asBuffer, probe, timestampSpan, toTimestamp } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import { type Answer, type Caller, RefusalReason, refusal } from '../replica/answers.ts';
import {
  checkWriteRequest,
  firstFailedCondition,
  type RequestCheck,
} from '../replica/evaluation.ts';
import type { Attempt, LeaseholderCore } from '../replica/leaseholder-core.ts';
import { pushedTo } from '../replica/write-commands.ts';
import {
  type Intent,
  makeIntent,
  makeRecord,
  nameOf,
  TransactionStatus,
} from '../state/transaction-rows.ts';
import { leastTimestamp, lockOwnerOf, waitForOthers } from './obstacles.ts';
import { bumpReads, checkReadChecks } from './read-checks.ts';
import { validateReads } from './read-validation.ts';
import {
  append,
  checkKeys,
  invalid,
  newChanges,
  recordChange,
  statusOf,
} from './transaction-changes.ts';

type PrepareRequest = flotilla.kv.PrepareRequest.$Properties;
type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

const { TRANSACTION_STAGING, TRANSACTION_COMMITTED } = TransactionStatus;
const { TRANSACTION_ABORTED, TRANSACTION_PREVENTED } = TransactionStatus;

const noBytes = Buffer.alloc(0);

export class Prepares {
  private readonly core: LeaseholderCore;

  constructor(core: LeaseholderCore) {
    this.core = core;
  }

  evaluate(
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
    const ids = checkKeys(core, header.id ?? noBytes, anchor);
    if (!ids.ok) return ids;
    const writes = checkWriteRequest(request, core.bounds(), limits);
    if (!writes.ok) return writes;
    return checkReadChecks(request.readChecks ?? [], core.bounds(), limits.commandConditionsMax);
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
    return append(this.core, caller, newChanges(this.core), answer);
  }

  private replicateFailure(
    caller: Caller,
    failedCondition: number,
    foundTimestamp: number,
  ): Answer | undefined {
    const answer = { prepare: { prepared: false, failedCondition, foundTimestamp } };
    return append(this.core, caller, newChanges(this.core), answer);
  }

  private lay(
    caller: Caller,
    request: PrepareRequest,
    header: TransactionHeader,
  ): Answer | undefined {
    const { core } = this;
    const transaction = nameOf(header.id ?? noBytes);
    const anchorKey = asBuffer(request.anchorKey ?? noBytes);
    const commitTimestamp = request.commitTimestamp ?? 0;
    const changes = newChanges(core);
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
    core.context.onPromise(false);
    return append(core, caller, changes, { prepare: { prepared: true } });
  }
}

function aborted(message: string): Answer {
  return refusal(RefusalReason.TRANSACTION_ABORTED, message);
}
