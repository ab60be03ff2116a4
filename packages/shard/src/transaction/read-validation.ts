/**
 * Runs the read checks of a commit or refresh to a verdict at the leaseholder: waits for intents that are in the way, looks
 * up in the background what memory cannot tell and asks again. Meanwhile the range goes on.
 */
import { probe } from '@flotilla/base';
import type { Answer } from '../replica/answers.ts';
import type { Attempt, LeaseholderCore } from '../replica/leaseholder-core.ts';
import {
  bumpReads,
  judge,
  lookUp,
  type ReadCheck,
  type ReadCheckRequest,
  toReadChecks,
} from './read-checks.ts';
import type { LookUp } from './transaction-memory.ts';

/** One check may have to be looked up again when much was written meanwhile. More than this is no progress. */
const lookUpsPerCheck = 4;

export type Validation =
  | { readonly kind: 'holds'; readonly checks: readonly ReadCheck[] }
  | { readonly kind: 'failed'; readonly index: number; readonly foundTimestamp: number }
  /** Not yet: the attempt comes again by itself, or this is its answer. */
  | { readonly kind: 'later'; readonly answer: Answer | undefined };

/**
 * @param upTo the reads must hold up to it; Infinity: up to now
 * @param transaction whose reads they are
 */
export function validateReads(
  core: LeaseholderCore,
  attempt: Attempt,
  requests: readonly ReadCheckRequest[],
  { upTo, transaction }: { readonly upTo: number; readonly transaction: string },
): Validation {
  if (requests.length === 0) return { kind: 'holds', checks: [] };
  const { memory, lastTimestamp } = core;
  memory.watchWrites(lastTimestamp);
  attempt.reads ??= { checks: toReadChecks(requests), failed: undefined, lookUps: 0 };
  const progress = attempt.reads;
  const { checks } = progress;
  if (progress.failed !== undefined) return { kind: 'failed', ...progress.failed };
  const context = { view: core.view(), memory, lastTimestamp, transaction };
  const verdict = judge(context, checks, upTo);
  switch (verdict.kind) {
    case 'holds':
      return { kind: 'holds', checks };
    case 'failed':
      return verdict;
    case 'blocked':
      return { kind: 'later', answer: core.waitForIntent(attempt, verdict.intent) };
    case 'unknown': {
      if (++progress.lookUps > lookUpsPerCheck * checks.length)
        return { kind: 'later', answer: core.busy() };
      const check = checks[verdict.index];
      if (check !== undefined) {
        const lookUp = joinLookUp(core, check, upTo, transaction);
        afterLookUp(core, attempt, { check, index: verdict.index, lookUp });
      }
      return { kind: 'later', answer: undefined };
    }
  }
}

/** The one that an earlier attempt of the same request has begun, if it still runs: it may take longer than an attempt. */
function joinLookUp(
  core: LeaseholderCore,
  check: ReadCheck,
  upTo: number,
  transaction: string,
): LookUp {
  const { memory, lastTimestamp, context } = core;
  const { name, endName, since } = check;
  const what = JSON.stringify([transaction, since, upTo, name, endName]);
  const underWay = memory.lookUps.get(what);
  if (underWay !== undefined) return underWay;
  probe('readCheckLookedUp');
  // Nothing is written up to here from now on; what comes above is among the recent writes.
  const until = Math.min(upTo, lastTimestamp);
  bumpReads(memory, [check], until, transaction);
  const found = lookUp(core.view(), check, until, context.limits.scanChunkRows).finally(() =>
    memory.lookUps.delete(what),
  );
  const begun = { until, found };
  memory.lookUps.set(what, begun);
  return begun;
}

function afterLookUp(
  core: LeaseholderCore,
  attempt: Attempt,
  { check, index, lookUp }: { check: ReadCheck; index: number; lookUp: LookUp },
): void {
  lookUp.found
    .then((foundTimestamp) => {
      if (foundTimestamp === 0) check.since = lookUp.until;
      else if (attempt.reads !== undefined) attempt.reads.failed = { index, foundTimestamp };
      core.again(attempt);
    })
    .catch((error: unknown) => core.context.onFatal(error));
}
