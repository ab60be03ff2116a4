/** Records of transactions are decided, comparing with what was seen, and promises made impossible that recovery did not find. */
import { asBuffer, probe } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import { type Answer, type Caller, RefusalReason, refusal } from '../replica/answers.ts';
import type { LeaseholderCore } from '../replica/leaseholder-core.ts';
import { makeRecord, nameOf, TransactionStatus } from '../state/transaction-rows.ts';
import type { Resolutions } from './resolutions.ts';
import { append, checkKeys, newChanges, recordChange, statusOf } from './transaction-changes.ts';

type DecideRequest = flotilla.kv.DecideRequest.$Properties;
type PreventRequest = flotilla.kv.PreventRequest.$Properties;

const { TRANSACTION_NONE, TRANSACTION_STAGING, TRANSACTION_COMMITTED } = TransactionStatus;
const { TRANSACTION_ABORTED, TRANSACTION_PREVENTED, TRANSACTION_RESOLVED } = TransactionStatus;

const noBytes = Buffer.alloc(0);

export class Decisions {
  private readonly core: LeaseholderCore;
  private readonly resolutions: Resolutions;

  constructor(core: LeaseholderCore, resolutions: Resolutions) {
    this.core = core;
    this.resolutions = resolutions;
  }

  decide(caller: Caller, request: DecideRequest): Answer | undefined {
    const { core } = this;
    const key = asBuffer(request.anchorKey ?? noBytes);
    const id = request.transactionId ?? noBytes;
    const outcome = request.outcome ?? TRANSACTION_NONE;
    const expected = request.expected ?? TRANSACTION_NONE;
    const checked = checkKeys(core, id, [key, ...(request.resolveKeys ?? [])]);
    if (!checked.ok) return core.refused(checked);
    if (!isDecision(expected, outcome))
      return refusal(RefusalReason.INVALID, 'no decision that can be made');
    const transaction = nameOf(id);
    const found = core.memory.recordOf(nameOf(key), transaction);
    const status = statusOf(found);
    const matches =
      status === expected &&
      (expected === TRANSACTION_NONE || found?.commitTimestamp === request.expectedTimestamp);
    let changes = newChanges(core);
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
        changes = this.resolutions.resolveKey(changes, each, transaction, commitTimestamp);
    const answer = append(core, caller, changes, {
      decide: { status: decided, commitTimestamp: recordTimestamp },
    });
    core.locks.releaseAll(transaction);
    return answer;
  }

  prevent(caller: Caller, request: PreventRequest): Answer | undefined {
    const { core } = this;
    const id = request.transactionId ?? noBytes;
    const keys = request.keys ?? [];
    const commitTimestamp = request.commitTimestamp ?? 0;
    const checked = checkKeys(core, id, keys);
    if (!checked.ok) return core.refused(checked);
    const transaction = nameOf(id);
    const changes = newChanges(core);
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
    return append(core, caller, changes, { prevent: { allFound } });
  }
}

function isDecision(expected: TransactionStatus, outcome: TransactionStatus): boolean {
  if (outcome === TRANSACTION_ABORTED)
    return expected === TRANSACTION_NONE || expected === TRANSACTION_STAGING;
  return outcome === TRANSACTION_COMMITTED && expected === TRANSACTION_STAGING;
}
