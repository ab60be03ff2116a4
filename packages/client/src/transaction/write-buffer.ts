/**
 * What one transaction has written and not yet committed: by key for reads, in key order for scans, with the spans that
 * it will delete. Used by router-transaction.ts alone. Sends nothing and knows no ranges.
 */
import { asBuffer, compareBytes, keySuccessor, type Span, spanContains } from '@flotilla/base';

/** `value` undefined: the key is deleted. */
export interface OwnWrite {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
  /** The key must have no value when the transaction commits. */
  readonly mustBeAbsent: boolean;
  /** Nobody named the key: a deleted span turned out to hold it. */
  readonly ofSpan?: true;
}

/** A key as a Map key: one character per byte, which V8 stores as one byte each. */
export function keyText(key: Uint8Array): string {
  return asBuffer(key).toString('latin1');
}

/** What a write adds to its request beyond key and value: tags, lengths, a condition. Unit: bytes. */
const writeOverheadBytes = 32;

/** How to take one change back: what a key's write was before it, or all writes and spans before a span was deleted. */
type Undo =
  | { readonly kind: 'write'; readonly text: string; readonly before: OwnWrite | undefined }
  | { readonly kind: 'spans'; readonly spans: readonly Span[] }
  | {
      readonly kind: 'all';
      readonly writes: ReadonlyMap<string, OwnWrite>;
      readonly spans: readonly Span[];
      readonly bytes: number;
    };

export class WriteBuffer {
  private readonly own = new Map<string, OwnWrite>();
  private spans: readonly Span[] = [];
  private sorted: readonly OwnWrite[] | undefined;
  private bytes = 0;
  /** Kept from the first `mark` on. */
  private undo: Undo[] | undefined;

  get isEmpty(): boolean {
    return this.own.size === 0 && this.spans.length === 0;
  }

  /** An upper bound of the request that commits these writes, spans aside. Unit: bytes. */
  get requestBytes(): number {
    return this.bytes;
  }

  /** Spans to delete, in no order. No key that is written with a value lies in one. */
  get deletedSpans(): readonly Span[] {
    return this.spans;
  }

  entries(): IterableIterator<[string, OwnWrite]> {
    return this.own.entries();
  }

  values(): IterableIterator<OwnWrite> {
    return this.own.values();
  }

  /** Whether a key, given as `keyText`, is written by itself. */
  writes(text: string): boolean {
    return this.own.has(text);
  }

  /** This transaction's own word about a key; undefined = it has none. */
  lookup(key: Uint8Array): { readonly value: Uint8Array | undefined } | undefined {
    if (this.isEmpty) return undefined; // the usual case: spares the key's text
    const own = this.own.get(keyText(key));
    if (own !== undefined) return own;
    return this.spans.some((span) => spanContains(span, key)) ? { value: undefined } : undefined;
  }

  /** What `put` would add to `requestBytes`. */
  growthOf(key: Uint8Array, value: Uint8Array | undefined): number {
    return bytesOf(key, value) - bytesOfEntry(this.own.get(keyText(key)));
  }

  /** The writes as they are now, for `undoTo`. */
  mark(): number {
    this.undo ??= [];
    return this.undo.length;
  }

  /** Takes back every change since the mark. Marks taken since then are void. */
  undoTo(mark: number): void {
    const { undo } = this;
    if (undo === undefined || undo.length <= mark) return;
    for (let i = undo.length - 1; i >= mark; i--) {
      const change = undo[i];
      if (change !== undefined) this.takeBack(change);
    }
    undo.length = mark;
    this.sorted = undefined;
  }

  /** @param value undefined = delete. A demand that the key be absent, made earlier, stays. */
  write(key: Uint8Array, value: Uint8Array | undefined, mustBeAbsent: boolean): void {
    const text = keyText(key);
    const before = this.own.get(text);
    if (value !== undefined) this.cutOutOfSpans(key);
    const absent = before === undefined ? mustBeAbsent : before.mustBeAbsent;
    this.undo?.push({ kind: 'write', text, before });
    this.own.set(text, { key, value, mustBeAbsent: absent });
    this.bytes += bytesOf(key, value) - bytesOfEntry(before);
    this.sorted = undefined;
  }

  deleteSpan(span: Span): void {
    const { spans, bytes } = this;
    this.undo?.push({ kind: 'all', writes: new Map(this.own), spans, bytes });
    for (const [text, own] of this.own) {
      if (!spanContains(span, own.key)) continue;
      if (own.mustBeAbsent) {
        // The demand is to be checked at commit, so the key stays a write of its own.
        this.own.set(text, { key: own.key, value: undefined, mustBeAbsent: true });
        this.bytes -= own.value?.length ?? 0;
      } else {
        this.own.delete(text);
        this.bytes -= bytesOfEntry(own);
      }
    }
    this.spans = [...this.spans, span];
    this.sorted = undefined;
  }

  /** A key that a deleted span has turned out to hold. One that is written by itself stays as it is. */
  deleteOfSpan(key: Uint8Array): void {
    const text = keyText(key);
    if (this.own.has(text)) return;
    this.own.set(text, { key, value: undefined, mustBeAbsent: false, ofSpan: true });
    this.bytes += bytesOf(key, undefined);
    this.sorted = undefined;
  }

  /** Own writes of the span in key order, as they are now: later writes do not show in what was returned. */
  within(span: Span): readonly OwnWrite[] {
    this.sorted ??= [...this.own.values()].sort((a, b) => compareBytes(a.key, b.key));
    const from = lowerBound(this.sorted, span.startKey);
    const until = lowerBound(this.sorted, span.endKey);
    return from === until ? none : this.sorted.slice(from, until);
  }

  /** The span less the deleted spans, in key order. */
  remaining(span: Span): readonly Span[] {
    let pieces: readonly Span[] = [span];
    for (const hole of this.spans) pieces = pieces.flatMap((piece) => subtractSpan(piece, hole));
    return pieces;
  }

  clear(): void {
    this.own.clear();
    this.spans = [];
    this.sorted = undefined;
    this.bytes = 0;
    this.undo = undefined;
  }

  private takeBack(change: Undo): void {
    switch (change.kind) {
      case 'write': {
        const { text, before } = change;
        this.bytes += bytesOfEntry(before) - bytesOfEntry(this.own.get(text));
        if (before === undefined) this.own.delete(text);
        else this.own.set(text, before);
        return;
      }
      case 'spans':
        this.spans = change.spans;
        return;
      case 'all':
        this.own.clear();
        for (const [text, write] of change.writes) this.own.set(text, write);
        this.spans = change.spans;
        this.bytes = change.bytes;
    }
  }

  /** A key written after its span was deleted must survive the deletion, which is made last. */
  private cutOutOfSpans(key: Uint8Array): void {
    if (!this.spans.some((span) => spanContains(span, key))) return;
    this.undo?.push({ kind: 'spans', spans: this.spans });
    const hole: Span = { startKey: key, endKey: keySuccessor(key) };
    this.spans = this.spans.flatMap((span) => subtractSpan(span, hole));
  }
}

const none: readonly OwnWrite[] = [];

function bytesOf(key: Uint8Array, value: Uint8Array | undefined): number {
  return 2 * key.length + (value?.length ?? 0) + writeOverheadBytes;
}

function bytesOfEntry(own: OwnWrite | undefined): number {
  return own === undefined ? 0 : bytesOf(own.key, own.value);
}

function lowerBound(sorted: readonly OwnWrite[], key: Uint8Array): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const own = sorted[middle];
    if (own !== undefined && compareBytes(own.key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The parts of `span` outside `hole`: none, one or two, in key order. */
export function subtractSpan(span: Span, hole: Span): readonly Span[] {
  if (
    compareBytes(hole.endKey, span.startKey) <= 0 ||
    compareBytes(span.endKey, hole.startKey) <= 0
  )
    return [span];
  const parts: Span[] = [];
  if (compareBytes(span.startKey, hole.startKey) < 0)
    parts.push({ startKey: span.startKey, endKey: hole.startKey });
  if (compareBytes(hole.endKey, span.endKey) < 0)
    parts.push({ startKey: hole.endKey, endKey: span.endKey });
  return parts;
}
