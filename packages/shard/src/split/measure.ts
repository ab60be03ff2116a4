/**
 * What a span of a range holds, and where its middle is: one walk through the newest versions and the old ones side by
 * side, since a copy of the range carries both. Knows nothing of why anybody asks.
 */
import { compareBytes, type Span } from '@flotilla/base';
import type { Engine, EngineIterator, EngineRow } from '../engine/engine.ts';
import { type StorageSpace, userKeyOf } from '../state/storage-keys.ts';
import { keyOfHistory } from '../transaction/history.ts';

export interface Measured {
  /** Of the newest versions, keys included. */
  readonly liveBytes: number;
  /** Of older versions, keys included. */
  readonly historyBytes: number;
  /** The first key of the second half of all that, if there are two keys. */
  readonly middle: Uint8Array | undefined;
}

/** Pieces into which a range is measured: how exactly the middle is found. */
const pieces = 64;
const rowsPerRead = 256;

/** Reads a span once. Cost: every row of it. */
export async function measure(engine: Engine, space: StorageSpace, span: Span): Promise<Measured> {
  const { startKey, endKey } = span;
  const data = new Walk(engine.iterate(space.dataSpan(startKey, endKey)), userKeyOf);
  const history = new Walk(engine.iterate(space.historySpan(startKey, endKey)), keyOfHistory);
  const marks = new Marks();
  try {
    for (;;) {
      if (data.needsRows) await data.fetch();
      if (history.needsRows) await history.fetch();
      const { key } = data;
      const old = history.key;
      if (key === undefined && old === undefined) break;
      const isOld = key === undefined || (old !== undefined && compareBytes(old, key) < 0);
      const walk = isOld ? history : data;
      marks.add(walk.key ?? noKey, walk.take());
    }
  } finally {
    await data.close();
    await history.close();
  }
  return { liveBytes: data.bytes, historyBytes: history.bytes, middle: marks.middle() };
}

const noKey = Buffer.alloc(0);

/** Rows of one kind, in the order of their keys. */
class Walk {
  /** Of the rows taken. */
  bytes = 0;
  /** The user's key of the next row; undefined: there is none. */
  key: Buffer | undefined;
  private readonly iterator: EngineIterator;
  private readonly keyOf: (engineKey: Buffer) => Buffer;
  private rows: readonly EngineRow[] = [];
  private at = 0;
  private ended = false;

  constructor(iterator: EngineIterator, keyOf: (engineKey: Buffer) => Buffer) {
    this.iterator = iterator;
    this.keyOf = keyOf;
  }

  get needsRows(): boolean {
    return this.at >= this.rows.length && !this.ended;
  }

  async fetch(): Promise<void> {
    this.rows = await this.iterator.next(rowsPerRead);
    this.at = 0;
    this.ended = this.rows.length === 0;
    this.look();
  }

  /** @returns the bytes of the row */
  take(): number {
    const bytes = (this.key?.length ?? 0) + (this.rows[this.at]?.value.length ?? 0);
    this.bytes += bytes;
    this.at++;
    this.look();
    return bytes;
  }

  close(): Promise<void> {
    return this.iterator.close();
  }

  private look(): void {
    const row = this.rows[this.at];
    this.key = row === undefined ? undefined : this.keyOf(row.key);
  }
}

/** Keys at about even distances in bytes: halved, and the distance doubled, whenever there are too many. */
class Marks {
  private marks: { readonly key: Uint8Array; readonly at: number }[] = [];
  private pieceBytes = 64;
  private bytes = 0;
  private lastKey: Uint8Array | undefined;

  add(key: Uint8Array, bytes: number): void {
    const last = this.marks.at(-1);
    const isNew = this.lastKey === undefined || compareBytes(key, this.lastKey) !== 0;
    // All versions of a key are on one side.
    if (isNew && (last === undefined || this.bytes - last.at >= this.pieceBytes))
      this.marks.push({ key: Buffer.from(key), at: this.bytes });
    this.lastKey = key;
    this.bytes += bytes;
    if (this.marks.length <= 2 * pieces) return;
    this.marks = this.marks.filter((_mark, i) => i % 2 === 0);
    this.pieceBytes *= 2;
  }

  middle(): Uint8Array | undefined {
    const { bytes } = this;
    let middle: Uint8Array | undefined;
    let closest = Number.POSITIVE_INFINITY;
    for (const { key, at } of this.marks) {
      // Nothing would be left of it.
      if (at === 0 || Math.abs(at - bytes / 2) >= closest) continue;
      closest = Math.abs(at - bytes / 2);
      middle = key;
    }
    return middle;
  }
}
