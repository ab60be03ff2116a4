/**
 * Writes of one range, one entry: plain ones and the commits of transactions that need nothing else. Waits for locks and
 * intents of others, checks conditions and reads, and turns the mutations into a command. Called once a write is known to
 * be new; knows nothing of sessions.
 */
import { probe, toTimestamp } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import { kv } from '../protocol/index.ts';
import { transactionIdBytes } from '../state/storage-keys.ts';
import type { LockOwner } from '../transaction/lock-table.ts';
import { leastTimestamp, lockOwnerOf, waitForOthers } from '../transaction/obstacles.ts';
import { bumpReads, checkReadChecks, type ReadCheck } from '../transaction/read-checks.ts';
import { validateReads } from '../transaction/read-validation.ts';
import { type Answer, type Caller, RefusalReason, refusal } from './answers.ts';
import { type Command, commandBytes, makeCommand } from './command.ts';
import {
  checkWriteRequest,
  computedKeys,
  computedMutations,
  type FailedCondition,
  firstFailedCondition,
  physicalWrites,
  rowsOfSpans,
  type SpanRow,
} from './evaluation.ts';
import type { Attempt, LeaseholderCore } from './leaseholder-core.ts';
import { overlayKey } from './overlay.ts';

type WriteRequest = flotilla.kv.WriteRequest.$Properties;
type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

const noRows: readonly SpanRow[] = [];
const noBytes = Buffer.alloc(0);

export class WriteCommands {
  private readonly core: LeaseholderCore;

  constructor(core: LeaseholderCore) {
    this.core = core;
  }

  evaluate(
    attempt: Attempt,
    request: WriteRequest,
    header: TransactionHeader | undefined,
  ): Answer | undefined {
    const { core } = this;
    const { context } = core;
    const checked = checkWriteRequest(request, core.bounds(), context.limits, header !== undefined);
    if (!checked.ok) return core.refused(checked);
    const { caller } = attempt;
    const computed = computedKeys(request.conditions);
    const needs =
      computed.length === 0
        ? request
        : { ...request, mutations: [...(request.mutations ?? []), ...computed] };
    const waits = waitForOthers(core, attempt, needs, () => ownerOf(caller, request, header));
    if (waits !== undefined) return waits.answer;
    const isPlain = (request.readChecks?.length ?? 0) === 0 && !request.demandedTimestamp;
    if (!isPlain || header !== undefined) return this.evaluateCommit(attempt, request, header);
    return this.evaluateSpans(caller, request, (rows) => this.command(caller, request, rows, {}));
  }

  /** Of the store itself. @returns false: not now */
  internal(request: WriteRequest, caller: Caller | undefined): boolean {
    const { core } = this;
    if (!checkWriteRequest(request, core.bounds(), core.context.limits).ok) return false;
    if (core.memory.hasIntents || core.locks.size > 0) {
      const names = [...(request.mutations ?? []), ...(request.conditions ?? [])];
      const taken = names.some(({ key }) => {
        const name = Buffer.from(key ?? '').toString('latin1');
        return core.memory.intentOf(name) !== undefined || core.locks.has(name);
      });
      if (taken) return false;
    }
    this.command(caller, request, noRows, {});
    return true;
  }

  /** A transaction whose writes and reads all lie in this range. */
  private evaluateCommit(
    attempt: Attempt,
    request: WriteRequest,
    header: TransactionHeader | undefined,
  ): Answer | undefined {
    const { core } = this;
    const { hlc, limits } = core.context;
    const { caller } = attempt;
    const requests = request.readChecks ?? [];
    const demanded = request.demandedTimestamp ?? 0;
    if (header?.id?.length !== transactionIdBytes)
      return refusal(RefusalReason.INVALID, 'only transactions check reads');
    const transaction = lockOwnerOf(header).name;
    const checked = checkReadChecks(requests, core.bounds(), limits.commandConditionsMax);
    if (!checked.ok) return core.refused(checked);
    if (demanded !== 0) {
      if ((request.deleteSpans?.length ?? 0) > 0)
        return refusal(RefusalReason.INVALID, 'deleted spans go without a demanded timestamp');
      if (!Number.isSafeInteger(demanded) || !hlc.observe(toTimestamp(demanded)).ok)
        return refusal(RefusalReason.INVALID, 'the demanded timestamp is too far ahead');
      if (computedKeys(request.conditions).length > 0)
        return refusal(RefusalReason.INVALID, 'what is computed is of the present');
      const least = leastTimestamp(core, request.mutations ?? [], transaction);
      if (least > demanded) return pushedTo(least);
    }
    const upTo = demanded === 0 ? Infinity : demanded;
    const validation = validateReads(core, attempt, requests, { upTo, transaction });
    if (validation.kind === 'later') return validation.answer;
    const behind = request.conditions?.length ?? 0;
    const options: CommitOptions = {
      transaction,
      demanded,
      ...(validation.kind === 'failed'
        ? {
            failedRead: {
              index: behind + validation.index,
              foundTimestamp: validation.foundTimestamp,
            },
          }
        : { reads: validation.checks }),
    };
    return this.evaluateSpans(caller, request, (rows) =>
      this.command(caller, request, rows, options),
    );
  }

  /** Keeps the range to itself while it reads the spans: whatever arrives meanwhile is parked, in order. */
  private evaluateSpans(
    caller: Caller,
    request: WriteRequest,
    evaluate: (rows: readonly SpanRow[]) => Answer | undefined,
  ): Answer | undefined {
    const { deleteSpans } = request;
    if (!deleteSpans || deleteSpans.length === 0) return evaluate(noRows);
    const { core } = this;
    const { limits } = core.context;
    return core.alone(
      caller,
      () => rowsOfSpans(core.view(), deleteSpans, limits),
      (found) =>
        found.ok
          ? evaluate(found.rows)
          : refusal(RefusalReason.TOO_LARGE, `a command deletes at most ${found.limit} keys`),
    );
  }

  /**
   * Deleting what is not there leaves no trace in the data, and yet nothing may be written below it any more: it would be
   * there for everybody after the deletion.
   */
  private noteAbsence(request: WriteRequest, { writes }: Command, timestamp: number): void {
    const { memory } = this.core;
    const mutations = request.mutations ?? [];
    for (const { startKey, endKey } of request.deleteSpans ?? [])
      memory.reads.bumpSpan(
        overlayKey(startKey ?? noBytes),
        overlayKey(endKey ?? noBytes),
        timestamp,
        nobody,
      );
    if (writes.length >= mutations.length) return;
    for (const { key, isDelete } of mutations)
      if (isDelete) memory.noteWrite(overlayKey(key ?? noBytes), timestamp, true);
  }

  /** For people who look for hot keys: somebody was first. That a key exists is an answer and no conflict. */
  private noteConflict({ conditions, readChecks }: WriteRequest, failed: number): void {
    const { contention, nowMs } = this.core.context;
    const condition = conditions?.[failed];
    if (condition?.kind === kv.ConditionKind.ABSENT) return;
    // Most likely the row is not there, or not one that is meant.
    if (condition?.kind === kv.ConditionKind.COMPUTED) return;
    const key = condition?.key ?? readChecks?.[failed - (conditions?.length ?? 0)]?.startKey;
    if (key) contention.noteConflict(overlayKey(key), nowMs());
  }

  private command(
    caller: Caller | undefined,
    request: WriteRequest,
    deletes: readonly SpanRow[],
    { transaction, demanded = 0, failedRead, reads }: CommitOptions,
  ): Answer | undefined {
    const { core } = this;
    const view = core.view();
    const { conditions } = request;
    let failed = firstFailedCondition(view, conditions) ?? failedRead;
    let made = request;
    if (failed === undefined && computedKeys(conditions).length > 0) {
      const computed = computedMutations(view, conditions, core.context.programs);
      if ('failed' in computed) failed = computed.failed;
      else {
        probe('writeComputed');
        made = { ...request, mutations: [...(request.mutations ?? []), ...computed.mutations] };
      }
    }
    const timestamp = core.nextTimestamp();
    const latest = request.maxTimestamp ?? 0;
    if (latest !== 0 && (demanded || timestamp) > latest) {
      probe('writeTooLate');
      return refusal(RefusalReason.TOO_LATE, 'the write may not be made any more', { timestamp });
    }
    const command = makeCommand(timestamp, {
      sessionId: request.sessionId ?? 0,
      serial: request.serial ?? 0,
      ackedUpTo: request.ackedUpTo ?? 0,
      writes:
        failed === undefined
          ? physicalWrites(view, made, deletes, {
              timestamp: demanded || timestamp,
              versionTimestamp: demanded,
            }).map(({ write }) => write)
          : [],
      failedCondition: failed === undefined ? 0 : failed.index + 1,
      foundTimestamp: failed?.foundTimestamp ?? 0,
      versionTimestamp: demanded,
    });
    const { commandBytesMax } = core.context.limits;
    if (commandBytes(command) > commandBytesMax)
      return refusal(
        RefusalReason.TOO_LARGE,
        `with the versions it replaces the write exceeds ${commandBytesMax} bytes`,
      );
    core.append(caller, command);
    if (failed !== undefined) this.noteConflict(request, failed.index);
    if (failed === undefined) this.noteAbsence(made, command, demanded || timestamp);
    if (transaction === undefined || failed !== undefined) return undefined;
    probe(demanded === 0 ? 'transactionInOneCommand' : 'transactionAtItsReadTimestamp');
    bumpReads(core.memory, reads ?? [], demanded || timestamp, transaction);
    core.locks.releaseAll(transaction);
    return undefined;
  }
}

/** Deletes spans, as far as the read-timestamp cache asks who. */
const nobody = 'nobody in particular';

interface CommitOptions {
  readonly transaction?: string;
  /** 0: the leaseholder picks the timestamp. */
  readonly demanded?: number;
  readonly failedRead?: FailedCondition;
  /** Checks that hold. */
  readonly reads?: readonly ReadCheck[];
}

function ownerOf(
  { clientId }: Caller,
  { sessionId, serial }: WriteRequest,
  header: TransactionHeader | undefined,
): LockOwner {
  if (header !== undefined) return lockOwnerOf(header);
  return { name: `${clientId}/${sessionId ?? 0}/${serial ?? 0}`, transaction: undefined };
}

export function pushedTo(least: number): Answer {
  return refusal(RefusalReason.PUSHED, 'something was read or written at a later timestamp', {
    timestamp: least,
  });
}
