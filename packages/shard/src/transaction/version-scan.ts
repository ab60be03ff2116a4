/**
 * A scan of a span as of a timestamp: the newest versions of the data, with older ones from the history where the newest
 * came later, or where a key was deleted since. Reads in chunks, in key order, either way. Called by the reads of
 * transactions, which have made sure that nothing of that time is still to come.
 */
import { compareBytes, type Span } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import type { Engine, EngineIterator, EngineRow } from '../engine/engine.ts';
import type { ScanWork } from '../split/scan-work.ts';
import { type StorageSpace, supersededAtOf, userKeyOf } from '../state/storage-keys.ts';
import { checkStored, storedPayload, storedTimestamp } from '../state/stored-value.ts';
import { checkHistory, keyOfHistory, type OldVersion } from './history.ts';
import { HistoryCursor } from './history-cursor.ts';

type Row = flotilla.kv.Row.$Properties;

export interface VersionScanOptions {
  readonly engine: Engine;
  readonly space: StorageSpace;
  readonly span: Span;
  readonly reverse: boolean;
  readonly readTimestamp: number;
  /** A change above readTimestamp and not above this ends the scan. */
  readonly uncertaintyLimit: number;
  /** False: no key was deleted after readTimestamp. */
  readonly withDeleted: boolean;
  /** Of `run`. */
  readonly rowsMax: number;
  readonly bytesMax: number;
  readonly chunkRows: number;
  /** What was read is told there. */
  readonly work?: ScanWork;
}

export type VersionScanResult =
  /** `complete`: the whole span was seen. */
  | { readonly kind: 'rows'; readonly rows: Row[]; readonly complete: boolean }
  | { readonly kind: 'uncertain'; readonly timestamp: number };

export type ScanEnd =
  /** The whole span was seen. */
  | { readonly kind: 'complete' }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'uncertain'; readonly timestamp: number };

export interface ScanPace {
  readonly rows: number;
  rest(): Promise<void> | undefined;
}

/** Of one key: what a snapshot sees, that it sees nothing, or that it cannot tell. */
export type Visible =
  | { readonly kind: 'version'; readonly stored: Buffer }
  | { readonly kind: 'absent' }
  | { readonly kind: 'uncertain'; readonly timestamp: number };

const absent: Visible = { kind: 'absent' };

/**
 * @param newest stored form of the key's newest version, if it has one
 * @param old the oldest version superseded after the snapshot, as far as there is one and it was looked for
 */
export function visibleAt(
  newest: Buffer | undefined,
  old: OldVersion | undefined,
  snapshot: { readonly readTimestamp: number; readonly uncertaintyLimit: number },
): Visible {
  const { readTimestamp, uncertaintyLimit } = snapshot;
  if (newest !== undefined) {
    const timestamp = storedTimestamp(newest);
    if (timestamp <= readTimestamp) return { kind: 'version', stored: newest };
    if (timestamp <= uncertaintyLimit) return { kind: 'uncertain', timestamp };
  }
  if (old === undefined) return absent;
  if (old.supersededAt <= uncertaintyLimit)
    return { kind: 'uncertain', timestamp: old.supersededAt };
  const timestamp = storedTimestamp(old.stored);
  if (timestamp <= readTimestamp) return { kind: 'version', stored: old.stored };
  return timestamp <= uncertaintyLimit ? { kind: 'uncertain', timestamp } : absent;
}

export class VersionScan {
  private readonly options: VersionScanOptions;
  private readonly data: Chunks;
  /** Of all keys, read beside the data; undefined: nothing deleted is in it that counts. */
  private readonly history: Chunks | undefined;
  /** Of keys that are too new. */
  private readonly older: HistoryCursor;

  /** Takes the state of this moment: data first, so that what is replaced in between is in the history. */
  constructor(options: VersionScanOptions) {
    this.options = options;
    const { engine, space, span, reverse, withDeleted, chunkRows } = options;
    const { startKey, endKey } = span;
    const open = (of: { startKey: Buffer; endKey: Buffer }): Chunks =>
      new Chunks(engine.iterate(of, { reverse }), chunkRows);
    this.data = open(space.dataSpan(startKey, endKey));
    this.history = withDeleted ? open(space.historySpan(startKey, endKey)) : undefined;
    this.older = new HistoryCursor(options);
  }

  /** Rows up to the bounds of the options. */
  async run(): Promise<VersionScanResult> {
    const { rowsMax, bytesMax } = this.options;
    const rows: Row[] = [];
    let bytes = 0;
    const end = await this.each((key, stored) => {
      rows.push({ key, value: storedPayload(stored), timestamp: storedTimestamp(stored) });
      bytes += key.length + stored.length;
      return rows.length < rowsMax && bytes < bytesMax;
    });
    return end.kind === 'uncertain'
      ? end
      : { kind: 'rows', rows, complete: end.kind === 'complete' };
  }

  /**
   * Hands out what the snapshot shows, and closes. Once.
   * @param take returns false: no more
   * @param pace asked after so many keys: what to wait for before the next
   */
  async each(take: (key: Buffer, stored: Buffer) => boolean, pace?: ScanPace): Promise<ScanEnd> {
    const { work } = this.options;
    let keys = 0;
    try {
      for (;;) {
        // Most rows need no promise: nothing to fetch, nothing to look up.
        const next = this.nextAtHand() ?? (await this.next());
        if (next === undefined) return { kind: 'complete' };
        const { key, visible } = next;
        if (visible.kind === 'uncertain') return visible;
        if (visible.kind === 'version') {
          work?.add(key, visible.stored.length);
          if (!take(key, visible.stored)) return { kind: 'stopped' };
        }
        if (pace !== undefined && ++keys % pace.rows === 0) {
          const rest = pace.rest();
          if (rest !== undefined) await rest;
        }
      }
    } finally {
      work?.end();
      await this.close();
    }
  }

  async close(): Promise<void> {
    await this.data.close();
    await this.history?.close();
    await this.older.close();
  }

  /** As `next`, if that takes no waiting. */
  private nextAtHand(): { readonly key: Buffer; readonly visible: Visible } | undefined {
    if (this.history !== undefined) return undefined;
    const row = this.data.peek();
    if (row === undefined) return undefined;
    const key = userKeyOf(row.key);
    const newest = checkStored(key, row.value);
    if (storedTimestamp(newest) > this.options.readTimestamp) return undefined;
    this.data.shift();
    return { key, visible: { kind: 'version', stored: newest } };
  }

  /** The next key in the direction of the scan, with what is visible of it; undefined at the end. */
  private async next(): Promise<{ readonly key: Buffer; readonly visible: Visible } | undefined> {
    const { options, history } = this;
    const row = this.data.peek() ?? (await this.data.fetch());
    if (history === undefined) {
      if (row === undefined) return undefined;
      this.data.shift();
      return this.newestOf(row);
    }
    const past = history.peek() ?? (await history.fetch());
    if (row === undefined && past === undefined) return undefined;
    const dataKey = row === undefined ? undefined : userKeyOf(row.key);
    const pastKey = past === undefined ? undefined : keyOfHistory(past.key);
    const order = this.compare(dataKey, pastKey);
    if (row !== undefined && dataKey !== undefined && order < 0) {
      this.data.shift();
      return {
        key: dataKey,
        visible: visibleAt(checkStored(dataKey, row.value), undefined, options),
      };
    }
    const key = pastKey ?? Buffer.alloc(0);
    const old = await this.oldestAfter(history, key);
    if (order > 0 || row === undefined) return { key, visible: visibleAt(undefined, old, options) };
    this.data.shift();
    return { key, visible: visibleAt(checkStored(key, row.value), old, options) };
  }

  /** Without deleted keys in the way, the history is asked only where the newest version is too new. */
  private async newestOf(row: EngineRow): Promise<{ key: Buffer; visible: Visible }> {
    const key = userKeyOf(row.key);
    const newest = checkStored(key, row.value);
    const isTooNew = storedTimestamp(newest) > this.options.uncertaintyLimit;
    const old = isTooNew ? await this.older.at(key) : undefined;
    return { key, visible: visibleAt(newest, old, this.options) };
  }

  /** Consumes the history of one key. */
  private async oldestAfter(history: Chunks, key: Buffer): Promise<OldVersion | undefined> {
    const { readTimestamp } = this.options;
    let oldest: OldVersion | undefined;
    for (;;) {
      const row = history.peek() ?? (await history.fetch());
      if (row === undefined || !keyOfHistory(row.key).equals(key)) return oldest;
      history.shift();
      const supersededAt = supersededAtOf(row.key);
      if (supersededAt <= readTimestamp) continue;
      if (oldest === undefined || supersededAt < oldest.supersededAt)
        oldest = { stored: checkHistory(row.key, row.value), supersededAt };
    }
  }

  private compare(a: Buffer | undefined, b: Buffer | undefined): number {
    if (a === undefined) return 1;
    if (b === undefined) return -1;
    const order = compareBytes(a, b);
    return this.options.reverse ? -order : order;
  }
}

/** Rows of an iterator one by one, fetched many at a time: no promise per row. */
class Chunks {
  private readonly iterator: EngineIterator;
  private readonly chunkRows: number;
  private rows: readonly EngineRow[] = [];
  private at = 0;
  private ended = false;

  constructor(iterator: EngineIterator, chunkRows: number) {
    this.iterator = iterator;
    this.chunkRows = chunkRows;
  }

  /** Undefined: fetch. */
  peek(): EngineRow | undefined {
    return this.rows[this.at];
  }

  shift(): void {
    this.at++;
  }

  /** @returns the row that is next now; undefined: there are no more */
  async fetch(): Promise<EngineRow | undefined> {
    if (!this.ended) {
      this.rows = await this.iterator.next(this.chunkRows);
      this.at = 0;
      this.ended = this.rows.length === 0;
    }
    return this.rows[this.at];
  }

  close(): Promise<void> {
    return this.iterator.close();
  }
}
