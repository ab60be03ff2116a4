/**
 * What a transaction has read: keys with the version that was seen, and spans, each with the timestamp at which that was
 * the truth. Says what must still be so for the transaction to commit, or to move on to a later snapshot. Sends nothing.
 */
import { type Span, spanContains } from '@flotilla/base';
import type { ReadCheck } from '@flotilla/router';
import { keyText } from './write-buffer.ts';

export interface PointRead {
  readonly key: Uint8Array;
  /** 0 = absent. Undefined: the reader was not told, because a store has evaluated the row. */
  readonly version: number | undefined;
  /** When that was the newest version. */
  readonly since: number;
  /** Read under a lock: checked at commit in every isolation, since locks may be lost. */
  readonly locked: boolean;
}

/** Whether a key has another version now than when it was read. What was evaluated and is gone may have been there. */
export function isChanged(read: PointRead, version: number): boolean {
  return read.version === undefined
    ? version === 0 || version > read.since
    : version !== read.version;
}

interface SpanRead {
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  /** Batches of a scan that it is made of. */
  readonly batches: number;
  since: number;
}

/** Batches that make one span: a store may have to look all of it up to check it, within one short request. */
const batchesJoined = 4;

/** Beyond this much of reads that need not be checked at commit, nothing more is remembered. Unit: keys. */
const unlockedMax = 1_000_000;

export class ReadSet {
  private readonly points = new Map<string, PointRead>();
  private spans: SpanRead[] = [];
  /** Reads were forgotten that a later snapshot would have to repeat. */
  private incomplete = false;

  get isEmpty(): boolean {
    return this.points.size === 0 && this.spans.length === 0 && !this.incomplete;
  }

  /** Whether every read can be shown to hold at a later timestamp. */
  get isComplete(): boolean {
    return !this.incomplete;
  }

  /** When the last of the locked keys was written. 0 = none is locked. */
  get newestLocked(): number {
    let newest = 0;
    for (const { locked, since } of this.points.values())
      if (locked && since > newest) newest = since;
    return newest;
  }

  point(text: string): PointRead | undefined {
    return this.points.get(text);
  }

  addPoint(key: Uint8Array, version: number | undefined, since: number): void {
    const text = keyText(key);
    const before = this.points.get(text);
    // The first version seen is the one that counts: whatever was computed may rest on it.
    if (before !== undefined) return;
    if (this.points.size >= unlockedMax) this.incomplete = true;
    else this.points.set(text, { key, version, since, locked: false });
  }

  /** What a lock has shown replaces what the snapshot showed: the caller goes on with it. */
  addLocked(key: Uint8Array, version: number, since: number): void {
    this.points.set(keyText(key), { key, version, since, locked: true });
  }

  addSpan(span: Span, since: number): void {
    const last = this.spans.at(-1);
    // Batches of one scan join on, upwards or downwards.
    const { startKey, endKey } = span;
    if (last !== undefined && last.since === since && last.batches < batchesJoined) {
      const at = this.spans.length - 1;
      const batches = last.batches + 1;
      if (sameKey(last.endKey, startKey)) {
        this.spans[at] = { startKey: last.startKey, endKey, batches, since };
        return;
      }
      if (sameKey(endKey, last.startKey)) {
        this.spans[at] = { startKey, endKey: last.endKey, batches, since };
        return;
      }
    }
    this.spans.push({ startKey, endKey, batches: 1, since });
  }

  /** Everything that was read of the snapshot and is not known to hold at `to`. */
  checksUpTo(to: number): ReadCheck[] {
    const checks: ReadCheck[] = [];
    for (const { key, since } of this.points.values())
      if (since < to) checks.push({ startKey: key, endKey: undefined, since });
    for (const { startKey, endKey, since } of this.spans)
      if (since < to) checks.push({ startKey, endKey, since });
    return checks;
  }

  /** The checks of `checksUpTo(to)` have held. */
  advance(to: number): void {
    for (const [text, read] of this.points)
      if (read.since < to) this.points.set(text, { ...read, since: to });
    for (const span of this.spans) if (span.since < to) span.since = to;
  }

  /**
   * What must hold at commit beyond the conditions on written keys.
   * @param everything also what was neither written nor locked
   * @param isWritten by key text
   */
  checksForCommit(everything: boolean, isWritten: (text: string) => boolean): ReadCheck[] {
    const checks: ReadCheck[] = [];
    for (const [text, { key, since, locked }] of this.points)
      if ((everything || locked) && !isWritten(text))
        checks.push({ startKey: key, endKey: undefined, since });
    if (everything)
      for (const { startKey, endKey, since } of this.spans)
        checks.push({ startKey, endKey, since });
    return checks;
  }

  /** Whether a key was locked that is not written. @param isWritten by key text */
  hasLockedBeside(isWritten: (text: string) => boolean): boolean {
    for (const [text, { locked }] of this.points) if (locked && !isWritten(text)) return true;
    return false;
  }

  /** For a key that is written and was not read by itself: when a scan saw it last. */
  scannedSince(key: Uint8Array): number | undefined {
    let since: number | undefined;
    for (const span of this.spans)
      if (spanContains(span, key) && (since === undefined || span.since < since))
        since = span.since;
    return since;
  }

  /** Forgets everything except what was locked, or is written. */
  forget(isWritten: (text: string) => boolean): void {
    for (const [text, { locked }] of this.points)
      if (!locked && !isWritten(text)) this.points.delete(text);
    this.spans = [];
    this.incomplete = false;
  }

  clear(): void {
    this.points.clear();
    this.spans = [];
  }
}

function sameKey(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}
