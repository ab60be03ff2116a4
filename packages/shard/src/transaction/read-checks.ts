/**
 * "Nothing in it was written after `since`": decides read checks of commits and refreshes up to a timestamp. Mostly from
 * memory: the recent writes, the range's last timestamps, the newest version of a key. What they cannot tell is looked up
 * in data and history, one check at a time, while the range goes on: whoever asks raises the read-timestamp cache first, so
 * that nothing new appears in what is being looked at.
 */
import {
  asBuffer,
  compareBytes,
  keyBytesMax,
  keySuccessor,
  type Span,
  spanContainsSpan,
} from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import type { EngineIterator } from '../engine/engine.ts';
import { type EvaluationView, newestStored, type RequestCheck } from '../replica/evaluation.ts';
import { supersededAtOf, userKeyOf } from '../state/storage-keys.ts';
import { checkStored, storedTimestamp } from '../state/stored-value.ts';
import { type Intent, nameOf } from '../state/transaction-rows.ts';
import { checkHistory, historyAt } from './history.ts';
import type { TransactionMemory } from './transaction-memory.ts';

export type ReadCheckRequest = flotilla.kv.ReadCheck.$Properties;

export interface ReadCheck {
  readonly startKey: Buffer;
  /** Exclusive; of one key, its successor. */
  readonly endKey: Buffer;
  readonly isKey: boolean;
  readonly name: string;
  readonly endName: string;
  /** Rises as the check is found to hold further. */
  since: number;
}

/** What is known of a request's checks between two tries. */
export interface ReadProgress {
  readonly checks: readonly ReadCheck[];
  /** The first look-up that found a write. */
  failed: { readonly index: number; readonly foundTimestamp: number } | undefined;
  /** How often something had to be looked up. */
  lookUps: number;
}

export type Verdict =
  | { readonly kind: 'holds' }
  | { readonly kind: 'failed'; readonly index: number; readonly foundTimestamp: number }
  /** Another transaction may be about to write. */
  | { readonly kind: 'blocked'; readonly intent: Intent }
  /** This one has to be looked up. */
  | { readonly kind: 'unknown'; readonly index: number };

const noBytes = Buffer.alloc(0);

export function toReadChecks(requests: readonly ReadCheckRequest[]): ReadCheck[] {
  return requests.map(({ startKey, endKey, since }) => {
    const start = asBuffer(startKey ?? noBytes);
    const isKey = (endKey?.length ?? 0) === 0;
    const end = isKey ? Buffer.from(keySuccessor(start)) : asBuffer(endKey ?? noBytes);
    return {
      startKey: start,
      endKey: end,
      isKey,
      name: nameOf(start),
      endName: nameOf(end),
      since: since ?? 0,
    };
  });
}

/** Bounds and sizes. */
export function checkReadChecks(
  requests: readonly ReadCheckRequest[],
  bounds: Span,
  most: number,
): RequestCheck {
  if (requests.length > most)
    return { ok: false, kind: 'tooLarge', reason: `more than ${most} read checks` };
  for (const { startKey, endKey, since } of requests) {
    const start = startKey ?? noBytes;
    const isKey = (endKey?.length ?? 0) === 0;
    const end = isKey ? keySuccessor(start) : (endKey ?? noBytes);
    if (start.length > keyBytesMax || end.length > keyBytesMax + 1)
      return { ok: false, kind: 'tooLarge', reason: `a key exceeds ${keyBytesMax} bytes` };
    if (compareBytes(start, end) >= 0)
      return { ok: false, kind: 'invalid', reason: 'a read check ends before it starts' };
    if (!Number.isSafeInteger(since ?? 0) || (since ?? 0) < 0)
      return { ok: false, kind: 'invalid', reason: 'a read check has no timestamp' };
    const span = { startKey: start, endKey: end };
    if (!spanContainsSpan(bounds, span)) return { ok: false, kind: 'outside', span };
  }
  return { ok: true };
}

export interface ReadCheckContext {
  readonly view: EvaluationView;
  readonly memory: TransactionMemory;
  /** Nothing was written above it. */
  readonly lastTimestamp: number;
  readonly transaction: string;
}

/** Of the checks up to `upTo`: the first that fails, waits or is not known. Synchronous. */
export function judge(
  context: ReadCheckContext,
  checks: readonly ReadCheck[],
  upTo: number,
): Verdict {
  for (let index = 0; index < checks.length; index++) {
    const check = checks[index];
    if (check === undefined || check.since >= upTo) continue;
    const intent = foreignIntent(context, check, upTo);
    if (intent !== undefined) return { kind: 'blocked', intent };
    if (check.since >= context.lastTimestamp) continue;
    const found = check.isKey ? judgeKey(context, check, upTo) : judgeSpan(context, check, upTo);
    if (found === 'unknown') {
      // What is on its way into the data cannot be looked up there yet.
      const underWay = context.view.overlay.within(check);
      const newer = underWay.find(({ timestamp }) => timestamp > check.since);
      if (newer === undefined) return { kind: 'unknown', index };
      return { kind: 'failed', index, foundTimestamp: newer.timestamp };
    }
    if (found > 0) return { kind: 'failed', index, foundTimestamp: found };
  }
  return { kind: 'holds' };
}

function foreignIntent(
  { memory, transaction }: ReadCheckContext,
  check: ReadCheck,
  upTo: number,
): Intent | undefined {
  if (!check.isKey) return memory.foreignIntentIn(check, transaction, upTo);
  const intent = memory.intentOf(check.name);
  if (intent === undefined || intent.transaction === transaction) return undefined;
  return intent.timestamp <= upTo ? intent : undefined;
}

/** @returns 0: unchanged */
function judgeKey(context: ReadCheckContext, check: ReadCheck, upTo: number): number | 'unknown' {
  const { memory, view } = context;
  const { name, since } = check;
  const recent = memory.recent;
  if (recent?.knowsKey(name, since)) return recent.findKey(name, since, upTo);
  const underWay = view.overlay.get(name);
  const stored = newestStored(view, name, check.startKey);
  if (stored === undefined && underWay === undefined)
    return memory.lastDeletion <= since ? 0 : 'unknown';
  const newest = stored === undefined ? (underWay?.timestamp ?? 0) : storedTimestamp(stored);
  if (newest <= since) return 0;
  return newest <= upTo ? newest : 'unknown';
}

/** @returns as `judgeKey` */
function judgeSpan(
  { memory }: ReadCheckContext,
  check: ReadCheck,
  upTo: number,
): number | 'unknown' {
  const { recent } = memory;
  const { name, endName, since } = check;
  return recent?.knowsSpan(name, endName, since)
    ? recent.findSpan(name, endName, since, upTo)
    : 'unknown';
}

/** Raises the read-timestamp cache: nothing is written up to `timestamp` any more to what was read. */
export function bumpReads(
  memory: TransactionMemory,
  checks: readonly ReadCheck[],
  timestamp: number,
  transaction: string,
): void {
  for (const { isKey, name, endName } of checks)
    if (isKey) memory.reads.bumpKey(name, timestamp, transaction);
    else memory.reads.bumpSpan(name, endName, timestamp, transaction);
}

/**
 * Looks one check up in data and history. The cache stands at `upTo` already, and nothing of it is under way.
 * @returns the timestamp of a write in (since, upTo], or 0
 */
export async function lookUp(
  { engine, space }: EvaluationView,
  { startKey, endKey, isKey, since }: ReadCheck,
  upTo: number,
  chunkRows: number,
): Promise<number> {
  const within = (timestamp: number): boolean => timestamp > since && timestamp <= upTo;
  if (isKey) {
    const stored = engine.get(space.dataKey(startKey));
    const newest = stored === undefined ? 0 : storedTimestamp(checkStored(startKey, stored));
    if (within(newest)) return newest;
    const old = await historyAt(engine, space, startKey, since);
    if (old === undefined) return 0;
    if (within(old.supersededAt)) return old.supersededAt;
    const timestamp = storedTimestamp(old.stored);
    return within(timestamp) ? timestamp : 0;
  }
  // Data first: what is replaced afterwards is in the history that is opened after it.
  const data = engine.iterate(space.dataSpan(startKey, endKey));
  const history = engine.iterate(space.historySpan(startKey, endKey));
  try {
    const inData = await firstIn(data, chunkRows, (key, value) => {
      const timestamp = storedTimestamp(checkStored(userKeyOf(key), value));
      return within(timestamp) ? timestamp : 0;
    });
    if (inData > 0) return inData;
    return await firstIn(history, chunkRows, (key, value) => {
      const supersededAt = supersededAtOf(key);
      if (within(supersededAt)) return supersededAt;
      if (supersededAt <= since) return 0;
      const timestamp = storedTimestamp(checkHistory(key, value));
      return within(timestamp) ? timestamp : 0;
    });
  } finally {
    await data.close();
    await history.close();
  }
}

async function firstIn(
  iterator: EngineIterator,
  chunkRows: number,
  test: (key: Buffer, value: Buffer) => number,
): Promise<number> {
  for (;;) {
    const rows = await iterator.next(chunkRows);
    if (rows.length === 0) return 0;
    for (const { key, value } of rows) {
      const found = test(key, value);
      if (found > 0) return found;
    }
  }
}
