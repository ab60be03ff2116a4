/**
 * What a write must wait for: locks and intents of others on the keys that it names, and timestamps below which it must
 * not come. Asked by everything that writes, after one look at two sizes.
 */
import { asBuffer } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import { type Answer, RefusalReason, refusal } from '../replica/answers.ts';
import { newestStored } from '../replica/evaluation.ts';
import type { Attempt, LeaseholderCore } from '../replica/leaseholder-core.ts';
import { storedTimestamp } from '../state/stored-value.ts';
import { type Intent, nameOf } from '../state/transaction-rows.ts';
import type { LockOwner, LockWish } from './lock-table.ts';

type Mutation = flotilla.kv.Mutation.$Properties;
type Condition = flotilla.kv.Condition.$Properties;
type DeleteSpan = flotilla.kv.DeleteSpan.$Properties;
type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

/** What a write names. */
export interface WriteNeeds {
  readonly mutations?: readonly Mutation[] | undefined | null;
  readonly conditions?: readonly Condition[] | undefined | null;
  readonly deleteSpans?: readonly DeleteSpan[] | undefined | null;
}

const noBytes = Buffer.alloc(0);

export function lockOwnerOf(header: TransactionHeader): LockOwner {
  return {
    name: nameOf(header.id ?? noBytes),
    transaction: { coordinator: header.coordinator ?? '', startedAt: header.startedAt ?? 0 },
  };
}

/** @returns undefined: nothing is in the way */
export function waitForOthers(
  core: LeaseholderCore,
  attempt: Attempt,
  needs: WriteNeeds,
  owner: () => LockOwner,
): { readonly answer: Answer | undefined } | undefined {
  if (core.locks.size > 0) {
    const waits = waitForLocks(core, attempt, needs, owner());
    if (waits !== undefined) return waits;
  }
  if (!core.memory.hasIntents) return undefined;
  const transaction = owner().name;
  for (const keys of [needs.mutations, needs.conditions])
    for (const { key } of keys ?? []) {
      const intent = core.memory.intentOf(nameOf(key ?? noBytes));
      if (intent !== undefined && intent.transaction !== transaction && !passes(core, intent))
        return { answer: core.waitForIntent(attempt, intent) };
    }
  for (const { startKey, endKey } of needs.deleteSpans ?? []) {
    const span = { startKey: startKey ?? noBytes, endKey: endKey ?? noBytes };
    for (;;) {
      const intent = core.memory.foreignIntentIn(span, transaction, Infinity);
      if (intent === undefined) break;
      if (!passes(core, intent)) return { answer: core.waitForIntent(attempt, intent) };
    }
  }
  return undefined;
}

/** Whether the intent is out of the way now: of a transaction that is known to be committed it becomes a version. */
function passes(core: LeaseholderCore, intent: Intent): boolean {
  if (!core.memory.isAnnounced(intent)) return false;
  core.resolveAnnounced(intent);
  return true;
}

function waitForLocks(
  core: LeaseholderCore,
  attempt: Attempt,
  needs: WriteNeeds,
  owner: LockOwner,
): { readonly answer: Answer | undefined } | undefined {
  const { locks } = core;
  for (const { key } of needs.mutations ?? []) {
    const name = nameOf(key ?? noBytes);
    if (!locks.take(name, owner, 'write'))
      return { answer: waitForLock(core, attempt, { name, owner, wish: 'write' }) };
  }
  for (const { startKey, endKey } of needs.deleteSpans ?? []) {
    const name = locks.firstTakenIn(nameOf(startKey ?? noBytes), nameOf(endKey ?? noBytes), owner);
    if (name !== undefined)
      return { answer: waitForLock(core, attempt, { name, owner, wish: 'write' }) };
  }
  return undefined;
}

/** Queues the attempt. After a while its client is told for whom it waits, and asks again. */
export function waitForLock(
  core: LeaseholderCore,
  attempt: Attempt,
  { name, owner, wish }: { name: string; owner: LockOwner; wish: LockWish },
): undefined {
  const { locks, context } = core;
  const { caller } = attempt;
  locks.wait(name, owner, wish, {
    untilMs: Math.min(context.nowMs() + context.limits.lockWaitMs, caller.deadlineMs),
    retry: () => core.again(attempt),
    giveUp: () => {
      const { holders, edges } = locks.blockers(name, owner, wish);
      const key = Buffer.from(name, 'latin1');
      context.answers.send(
        caller,
        refusal(RefusalReason.LOCK_WAITING, 'the key is locked', { holders, edges, key }),
      );
    },
  });
  return undefined;
}

/**
 * The least timestamp at which the transaction may write all these keys: above their newest versions and deletions, not
 * below what others have read.
 */
export function leastTimestamp(
  core: LeaseholderCore,
  mutations: readonly Mutation[],
  transaction: string,
): number {
  let least = 0;
  for (const { key } of mutations) {
    const bytes = asBuffer(key ?? noBytes);
    const name = nameOf(bytes);
    least = Math.max(
      least,
      lastChange(core, name, bytes) + 1,
      core.memory.reads.leastWrite(name, transaction),
    );
  }
  return least;
}

/** When the key was written or deleted last; of keys that are absent, perhaps too late a time. */
function lastChange(core: LeaseholderCore, name: string, key: Buffer): number {
  const { memory } = core;
  const recent = memory.recent?.newestOf(name) ?? 0;
  if (recent > 0) return recent;
  const state = core.view();
  const underWay = state.overlay.get(name);
  if (underWay !== undefined) return underWay.timestamp;
  const stored = newestStored(state, name, key);
  if (stored !== undefined) return storedTimestamp(stored);
  return Math.min(memory.lastDeletion, memory.recent?.missesUpTo(name) ?? Infinity);
}
