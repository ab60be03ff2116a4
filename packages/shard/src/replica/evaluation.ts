/**
 * Turns a write request into physical writes: conditions, mutations and deleted spans against what is applied plus what
 * is proposed. Pure apart from reading; the caller puts the result into the overlay and the log.
 */
import {
  compareBytes,
  keyBytesMax,
  keySuccessor,
  type Span,
  spanContains,
  spanContainsSpan,
  valueBytesMax,
} from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import type { Engine } from '../engine/engine.ts';
import type { RowPrograms } from '../evaluation/row-programs.ts';
import type { StoreLimits } from '../limits.ts';
import { kv } from '../protocol/index.ts';
import { type StorageSpace, userKeyOf } from '../state/storage-keys.ts';
import {
  checkStored,
  encodeStored,
  storedPayload,
  storedTimestamp,
} from '../state/stored-value.ts';
import type { PhysicalWrite } from './command.ts';
import { type Overlay, overlayKey } from './overlay.ts';

type WriteRequest = flotilla.kv.WriteRequest.$Properties;
type Mutation = flotilla.kv.Mutation.$Properties;

const noBytes = Buffer.alloc(0);
const { UNCHANGED, COMPUTED } = kv.ConditionKind;

/** What evaluation reads. */
export interface EvaluationView {
  readonly engine: Engine;
  readonly space: StorageSpace;
  readonly overlay: Overlay;
}

/** Newest version of a key, proposed ones included, in stored form. Synchronous. */
export function newestStored(
  view: EvaluationView,
  name: string,
  key: Uint8Array,
): Buffer | undefined {
  const pending = view.overlay.get(name);
  if (pending !== undefined) return pending.stored;
  const stored = view.engine.get(view.space.dataKey(key));
  return stored === undefined ? undefined : checkStored(key, stored);
}

export type RequestCheck =
  | { readonly ok: true }
  | { readonly ok: false; readonly kind: 'invalid' | 'tooLarge'; readonly reason: string }
  | { readonly ok: false; readonly kind: 'outside'; readonly span: Span };

/**
 * Sizes, counts and bounds; nothing that depends on state other than the range's bounds.
 * @param mayCompute whether a condition may be COMPUTED
 */
export function checkWriteRequest(
  request: WriteRequest,
  bounds: Span,
  limits: StoreLimits,
  mayCompute = false,
): RequestCheck {
  const conditions = request.conditions ?? [];
  const mutations = request.mutations ?? [];
  if (conditions.length > limits.commandConditionsMax)
    return tooLarge(`more than ${limits.commandConditionsMax} conditions`);
  if (mutations.length > limits.commandMutationsMax)
    return tooLarge(`more than ${limits.commandMutationsMax} mutations`);
  let bytes = 0;
  for (const { key, kind, program } of conditions) {
    const checked = checkKey(key, bounds);
    if (!checked.ok) return checked;
    const known = kind === COMPUTED ? mayCompute : !kind || kind === UNCHANGED;
    if (!known) return { ok: false, kind: 'invalid', reason: `unknown condition ${String(kind)}` };
    if ((program?.length ?? 0) > limits.programBytesMax)
      return tooLarge(`a program exceeds ${limits.programBytesMax} bytes`);
  }
  for (const { key, value } of mutations) {
    const checked = checkKey(key, bounds);
    if (!checked.ok) return checked;
    const valueBytes = value?.length ?? 0;
    if (valueBytes > valueBytesMax) return tooLarge(`a value exceeds ${valueBytesMax} bytes`);
    bytes += (key?.length ?? 0) + valueBytes;
  }
  if (bytes > limits.commandBytesMax)
    return tooLarge(`the mutations exceed ${limits.commandBytesMax} bytes`);
  for (const { startKey, endKey } of request.deleteSpans ?? []) {
    if (!startKey || !endKey || compareBytes(startKey, endKey) >= 0)
      return { ok: false, kind: 'invalid', reason: 'a span ends before it starts' };
    const span = { startKey, endKey };
    if (!spanContainsSpan(bounds, span)) return { ok: false, kind: 'outside', span };
  }
  return { ok: true };
}

function checkKey(key: Uint8Array | null | undefined, bounds: Span): RequestCheck {
  if (!key || key.length === 0) return { ok: false, kind: 'invalid', reason: 'a key is empty' };
  if (key.length > keyBytesMax) return tooLarge(`a key exceeds ${keyBytesMax} bytes`);
  if (!spanContains(bounds, key))
    return { ok: false, kind: 'outside', span: { startKey: key, endKey: keySuccessor(key) } };
  return { ok: true };
}

function tooLarge(reason: string): RequestCheck {
  return { ok: false, kind: 'tooLarge', reason };
}

export interface FailedCondition {
  /** Index into the request's conditions. */
  readonly index: number;
  /** 0 = absent. */
  readonly foundTimestamp: number;
}

/** The first condition that does not hold, those that compute aside; or undefined. */
export function firstFailedCondition(
  view: EvaluationView,
  conditions: WriteRequest['conditions'],
): FailedCondition | undefined {
  if (!conditions) return undefined;
  for (let index = 0; index < conditions.length; index++) {
    const condition = conditions[index];
    if (condition?.kind === COMPUTED) continue;
    const key = condition?.key ?? noBytes;
    const stored = newestStored(view, overlayKey(key), key);
    const foundTimestamp = stored === undefined ? 0 : storedTimestamp(stored);
    const expected = condition?.kind === UNCHANGED ? (condition.timestamp ?? 0) : 0;
    if (foundTimestamp !== expected) return { index, foundTimestamp };
  }
  return undefined;
}

/** Keys whose new version is computed from the newest one. */
export function computedKeys(
  conditions: WriteRequest['conditions'],
): readonly { readonly key: Uint8Array }[] {
  if (!conditions?.some(({ kind }) => kind === COMPUTED)) return noKeys;
  return conditions.flatMap(({ kind, key }) =>
    kind === COMPUTED ? [{ key: key ?? noBytes }] : [],
  );
}

const noKeys: readonly { readonly key: Uint8Array }[] = [];

/** What the programs of the conditions make of what is there, proposed writes included: mutations; or the first that fails. */
export function computedMutations(
  view: EvaluationView,
  conditions: WriteRequest['conditions'],
  programs: RowPrograms | undefined,
): { readonly mutations: Mutation[] } | { readonly failed: FailedCondition } {
  const mutations: Mutation[] = [];
  for (const [index, { kind, key: maybeKey, program }] of (conditions ?? []).entries()) {
    if (kind !== COMPUTED) continue;
    const key = maybeKey ?? noBytes;
    const stored = newestStored(view, overlayKey(key), key);
    const computed = stored && programs?.compute(program ?? noBytes, key, storedPayload(stored));
    const isTooLarge = computed?.kind === 'put' && computed.value.length > valueBytesMax;
    if (computed === undefined || isTooLarge)
      return { failed: { index, foundTimestamp: stored ? storedTimestamp(stored) : 0 } };
    mutations.push(
      computed.kind === 'put' ? { key, value: computed.value } : { key, isDelete: true },
    );
  }
  return { mutations };
}

export interface EvaluatedWrite {
  readonly name: string;
  readonly write: PhysicalWrite;
}

/**
 * Physical writes of the mutations and then of the deletes, one per key.
 * @param timestamp of the versions
 * @param versionTimestamp the same, if it is not the command's; 0 if it is
 */
export function physicalWrites(
  view: EvaluationView,
  request: WriteRequest,
  deletes: readonly SpanRow[],
  { timestamp, versionTimestamp }: { timestamp: number; versionTimestamp: number },
): EvaluatedWrite[] {
  const mutations = request.mutations ?? [];
  const evaluated: EvaluatedWrite[] = [];
  // A key that the command names twice is written once, over the version from before the command.
  const byName =
    mutations.length + deletes.length > 1 ? new Map<string, EvaluatedWrite>() : undefined;
  for (const { key: maybeKey, value, isDelete } of mutations) {
    const key = maybeKey ?? noBytes;
    const name = overlayKey(key);
    const deleting = isDelete === true;
    const stored = deleting ? noBytes : encodeStored(key, timestamp, value ?? noBytes);
    const earlier = byName?.get(name);
    if (earlier !== undefined) {
      earlier.write.value = stored;
      earlier.write.isDelete = deleting;
      continue;
    }
    const previous = newestStored(view, name, key);
    if (deleting && previous === undefined && byName === undefined) continue;
    const entry = { name, write: physicalWrite(key, stored, deleting, previous, versionTimestamp) };
    byName?.set(name, entry);
    evaluated.push(entry);
  }
  for (const { key, stored } of deletes) {
    const name = overlayKey(key);
    if (byName?.has(name)) continue;
    const entry = { name, write: physicalWrite(key, noBytes, true, stored, versionTimestamp) };
    byName?.set(name, entry);
    evaluated.push(entry);
  }
  for (const span of request.deleteSpans ?? []) {
    const within = { startKey: span.startKey ?? noBytes, endKey: span.endKey ?? noBytes };
    for (const { write } of evaluated) {
      if (write.isDelete || !spanContains(within, write.key)) continue;
      write.isDelete = true;
      write.value = noBytes;
    }
  }
  // Deleting what was not there before the command is no write at all.
  return evaluated.filter(({ write }) => !write.isDelete || write.previousTimestamp !== 0);
}

/** A version that takes the place of another. @param versionTimestamp as in `physicalWrites` */
export function physicalWrite(
  key: Uint8Array,
  value: Buffer,
  isDelete: boolean,
  previous: Buffer | undefined,
  versionTimestamp: number,
): PhysicalWrite {
  return {
    key,
    value,
    isDelete,
    previousTimestamp: previous === undefined ? 0 : storedTimestamp(previous),
    previousValue: previous ?? noBytes,
    versionTimestamp,
  };
}

export interface SpanRow {
  readonly key: Uint8Array;
  readonly stored: Buffer;
}

export type SpanRows =
  | { readonly ok: true; readonly rows: readonly SpanRow[] }
  | { readonly ok: false; readonly limit: number };

/**
 * All keys of the spans as evaluation sees them at the time of the call. Reads in chunks; the caller keeps the range
 * from being evaluated meanwhile.
 */
export async function rowsOfSpans(
  view: EvaluationView,
  spans: NonNullable<WriteRequest['deleteSpans']>,
  limits: StoreLimits,
): Promise<SpanRows> {
  const sources = spans.map(({ startKey, endKey }) => {
    const span = { startKey: startKey ?? noBytes, endKey: endKey ?? noBytes };
    return {
      iterator: view.engine.iterate(view.space.dataSpan(span.startKey, span.endKey)),
      pending: view.overlay.within(span),
    };
  });
  const rows = new Map<string, SpanRow>();
  try {
    for (const { iterator, pending } of sources) {
      const hidden = new Set(pending.map((entry) => overlayKey(entry.key)));
      for (const { key, stored } of pending)
        if (stored !== undefined) rows.set(overlayKey(key), { key, stored });
      for (;;) {
        const chunk = await iterator.next(limits.scanChunkRows);
        if (chunk.length === 0) break;
        for (const { key: dataKey, value } of chunk) {
          const key = userKeyOf(dataKey);
          const name = overlayKey(key);
          if (!hidden.has(name)) rows.set(name, { key, stored: checkStored(key, value) });
        }
        if (rows.size > limits.deleteKeysMax) return { ok: false, limit: limits.deleteKeysMax };
      }
      if (rows.size > limits.deleteKeysMax) return { ok: false, limit: limits.deleteKeysMax };
    }
  } finally {
    for (const { iterator } of sources) await iterator.close();
  }
  return { ok: true, rows: [...rows.values()] };
}
