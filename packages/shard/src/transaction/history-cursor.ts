/**
 * Old versions of the keys of one scan, asked for in its order. After a load, or many updates, most rows that a snapshot
 * comes by are newer than it, and nearly all of them have no older version: to look each of them up by itself costs many
 * times what the scan does. So the history is read along with the data, a chunk at a time; where much of it concerns keys
 * that nobody asks for, it is skipped by a seek. Takes the state of the moment in which it is needed first, which is no
 * earlier than the scan's: what came in between is newer than what is looked for. Used by `version-scan.ts` alone.
 */
import { compareBytes, type Span } from '@flotilla/base';
import type { Engine, EngineIterator, EngineRow } from '../engine/engine.ts';
import { type StorageSpace, supersededAtOf } from '../state/storage-keys.ts';
import { checkStored } from '../state/stored-value.ts';
import { historyAt, type OldVersion } from './history.ts';

export interface HistoryCursorOptions {
  readonly engine: Engine;
  readonly space: StorageSpace;
  readonly span: Span;
  readonly reverse: boolean;
  readonly readTimestamp: number;
  readonly chunkRows: number;
}

/** Rows of the first chunk after a seek; every further one has twice as many, up to `chunkRows`. */
const chunkRowsLeast = 16;

export class HistoryCursor {
  private readonly options: HistoryCursorOptions;
  private iterator: EngineIterator | undefined;
  private rows: readonly EngineRow[] = [];
  private index = 0;
  private chunkRows = 0;
  /** Nothing comes after `rows`. */
  private ended = false;

  constructor(options: HistoryCursorOptions) {
    this.options = options;
  }

  /** As `historyAt`. @param key later in the scan than the one before; one call outstanding */
  async at(key: Buffer): Promise<OldVersion | undefined> {
    if (this.ended && this.index >= this.rows.length) return undefined;
    const { engine, space, reverse, readTimestamp } = this.options;
    // What was superseded after the snapshot, oldest first.
    const span = space.historyOf(key, readTimestamp);
    for (let fetches = 0; ; fetches++) {
      const row = this.skipTo(span);
      if (row !== undefined) {
        const isOwn = reverse
          ? compareBytes(row.key, span.startKey) >= 0
          : compareBytes(row.key, span.endKey) < 0;
        if (!isOwn) return undefined;
        // The other way round the oldest comes last, perhaps of many.
        if (reverse) return historyAt(engine, space, key, readTimestamp);
        return { stored: checkStored(key, row.value), supersededAt: supersededAtOf(row.key) };
      }
      if (this.ended) return undefined;
      if (this.iterator === undefined || fetches > 0) await this.seek(span);
      await this.fetch();
    }
  }

  close(): Promise<void> {
    const { iterator } = this;
    this.iterator = undefined;
    this.ended = true;
    return iterator === undefined ? Promise.resolve() : iterator.close();
  }

  /** Leaves out what is of keys before this one. @returns the row that is next then, if it is at hand */
  private skipTo({ startKey, endKey }: Span): EngineRow | undefined {
    const { reverse } = this.options;
    for (; this.index < this.rows.length; this.index++) {
      const row = this.rows[this.index];
      if (row === undefined) return undefined;
      const isBefore = reverse
        ? compareBytes(row.key, endKey) >= 0
        : compareBytes(row.key, startKey) < 0;
      if (!isBefore) return row;
    }
    return undefined;
  }

  /** Goes on at the key of this span. */
  private async seek({ startKey, endKey }: { startKey: Buffer; endKey: Buffer }): Promise<void> {
    const { engine, space, span, reverse } = this.options;
    const all = space.historySpan(span.startKey, span.endKey);
    const left = reverse ? { startKey: all.startKey, endKey } : { startKey, endKey: all.endKey };
    await this.iterator?.close();
    this.iterator = engine.iterate(left, { reverse });
    this.chunkRows = Math.min(chunkRowsLeast, this.options.chunkRows);
  }

  private async fetch(): Promise<void> {
    this.rows = (await this.iterator?.next(this.chunkRows)) ?? [];
    this.index = 0;
    this.ended = this.rows.length === 0;
    this.chunkRows = Math.min(this.chunkRows * 2, this.options.chunkRows);
  }
}
