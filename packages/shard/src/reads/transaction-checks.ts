/**
 * What a coordinator asks of a leaseholder beside values: whether what it has read still holds at a later timestamp, and what
 * became of a transaction. The answers rest on the state of the moment and count under the lease, or when a quorum confirms.
 */
import { probe, timestampToWallMs, toTimestamp } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import {
  type Answer,
  type Answers,
  type Caller,
  RefusalReason,
  refusal,
} from '../replica/answers.ts';
import type { Leaseholder } from '../replica/leaseholder.ts';
import type { Attempt } from '../replica/leaseholder-core.ts';
import type { Replica } from '../replica/replica.ts';
import { transactionIdBytes } from '../state/storage-keys.ts';
import { isMarker, nameOf } from '../state/transaction-rows.ts';
import { bumpReads, checkReadChecks } from '../transaction/read-checks.ts';
import { validateReads } from '../transaction/read-validation.ts';
import type { ReadBarriers } from './read-barriers.ts';
import { checkKeys, invalidId } from './read-bounds.ts';

type RefreshRequest = flotilla.kv.RefreshRequest.$Properties;
type QueryRequest = flotilla.kv.QueryTransactionRequest.$Properties;
type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

const noBytes = Buffer.alloc(0);
/** Promised keys that everybody is told who asks what became of a transaction. */
const keysToldUnasked = 100;

export class TransactionChecks {
  private readonly answers: Answers;
  private readonly barriers: ReadBarriers;

  constructor(answers: Answers, barriers: ReadBarriers) {
    this.answers = answers;
    this.barriers = barriers;
  }

  /** @returns the answer if there is one at once; otherwise it is sent later */
  refresh(
    caller: Caller,
    leaseholder: Leaseholder,
    request: RefreshRequest,
    header: TransactionHeader,
  ): Answer | undefined {
    if (header.id?.length !== transactionIdBytes) return invalidId();
    const transaction = nameOf(header.id);
    const attempt: Attempt = {
      caller,
      waitUntilMs: 0,
      evaluate: () => {
        const checks = request.checks ?? [];
        const to = request.to ?? 0;
        const { hlc, limits } = leaseholder.context;
        const checked = checkReadChecks(checks, leaseholder.bounds(), limits.commandConditionsMax);
        if (!checked.ok) return leaseholder.refused(checked);
        if (!Number.isSafeInteger(to) || to < 0 || !hlc.observe(toTimestamp(to)).ok)
          return refusal(RefusalReason.INVALID, 'the timestamp is too far ahead');
        const validation = validateReads(leaseholder, attempt, checks, { upTo: to, transaction });
        if (validation.kind === 'later') return validation.answer;
        if (validation.kind === 'failed') {
          probe('refreshFailed');
          const { index, foundTimestamp } = validation;
          return { refresh: { ok: false, failedCheck: index, foundTimestamp } };
        }
        bumpReads(leaseholder.memory, validation.checks, to, transaction);
        return this.confirmed(caller, leaseholder, { refresh: { ok: true } });
      },
    };
    return leaseholder.begin(attempt);
  }

  /** @returns as `refresh` */
  query(caller: Caller, leaseholder: Leaseholder, request: QueryRequest): Answer | undefined {
    const id = request.transactionId ?? noBytes;
    const key = request.anchorKey ?? noBytes;
    if (id.length !== transactionIdBytes) return invalidId();
    const transaction = nameOf(id);
    const evaluate = (): Answer | undefined => {
      const { replica, context, memory } = leaseholder;
      const refused = checkKeys(replica as Replica, [key], context.limits);
      if (refused !== undefined) return refused;
      const record = memory.state.records.get(nameOf(key) + transaction);
      const coordinatorAlive = context.live.isAlive(transaction);
      if (record === undefined || isMarker(record))
        return this.confirmed(caller, leaseholder, { queryTransaction: { coordinatorAlive } });
      const { status, commitTimestamp, promisedKeys, writtenAt } = record;
      const keysOmitted = promisedKeys.length > keysToldUnasked && request.withAllKeys !== true;
      const ageMs = Math.max(0, context.hlc.wallMs() - timestampToWallMs(toTimestamp(writtenAt)));
      return this.confirmed(caller, leaseholder, {
        queryTransaction: {
          status,
          commitTimestamp,
          promisedKeys: keysOmitted ? [] : [...promisedKeys],
          keysOmitted,
          ageMs: Math.floor(ageMs),
          coordinatorAlive,
        },
      });
    };
    return leaseholder.begin({ caller, waitUntilMs: 0, evaluate });
  }

  /** The answer rests on what was applied when it was made: it counts if this still is the leader afterwards. */
  private confirmed(caller: Caller, leaseholder: Leaseholder, answer: Answer): Answer | undefined {
    if (leaseholder.context.leaseValid()) return answer;
    const replica = leaseholder.replica as Replica;
    this.barriers.after(caller, replica, () => {
      this.answers.send(caller, leaseholder.isResigned ? replica.notLeaseholder() : answer);
    });
    return undefined;
  }
}
