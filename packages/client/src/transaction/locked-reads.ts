/**
 * Reads that lock. They see rows as they are now and not as the snapshot has them; whether both go together is the
 * isolation level's business. What was locked is remembered among the reads. Used by `range-transaction.ts` alone.
 */
import { DbError } from '@flotilla/base';
import type { KvValue } from '@flotilla/router';
import {
  type IsolationLevel,
  type LockedValue,
  lockedByOther,
  type ReadOptions,
} from '@flotilla/sql/protocol';
import type { OnRead } from './own-reads.ts';
import { isChanged, type ReadSet } from './read-set.ts';
import type { SnapshotReader } from './snapshot-reader.ts';
import { keyText, type WriteBuffer } from './write-buffer.ts';

export interface LockedReadsParts {
  readonly reader: SnapshotReader;
  readonly reads: ReadSet;
  readonly writes: WriteBuffer;
  readonly isolation: IsolationLevel;
  /** Rows were read as they are now. */
  readonly onRead: OnRead;
}

export class LockedReads {
  private readonly parts: LockedReadsParts;
  private failed = false;

  constructor(parts: LockedReadsParts) {
    this.parts = parts;
  }

  /** There may be locks that the reads do not tell of: of a request that failed half-way. */
  get someUnknown(): boolean {
    return this.failed;
  }

  /** @throws DbError CONFLICT, DEADLOCK, LOCK_NOT_AVAILABLE, and as `SnapshotReader.lock` */
  async lock(
    keys: readonly Uint8Array[],
    mode: 'share' | 'exclusive',
    options: ReadOptions,
  ): Promise<readonly LockedValue[]> {
    try {
      return await this.lockNow(keys, mode, options);
    } catch (error) {
      this.failed = true;
      throw error;
    }
  }

  private async lockNow(
    keys: readonly Uint8Array[],
    mode: 'share' | 'exclusive',
    options: ReadOptions,
  ): Promise<readonly LockedValue[]> {
    const { reader, reads, writes } = this.parts;
    const { wait = 'block', lockTimeoutMs: limitMs, signal } = options;
    const lock = { mode, wait, limitMs, ...(signal === undefined ? {} : { signal }) };
    const found = await reader.lock(keys, lock);
    const late = this.parts.onRead();
    if (late !== undefined) await late;
    const skipped = new Set(found.skipped);
    await this.judge(keys, found.values, skipped, options);
    return keys.map((key, index) => {
      if (skipped.has(index)) return lockedByOther;
      const value = found.values[index];
      // Nothing can have been written between that version and now. Of absence there is no version to name.
      const version = value?.timestamp ?? 0;
      reads.addLocked(key, version, version > 0 ? version : found.readTimestamp);
      const own = writes.lookup(key);
      return own === undefined ? value?.value : own.value;
    });
  }

  /** Whether what the locks have shown goes with what the snapshot has. */
  private async judge(
    keys: readonly Uint8Array[],
    values: readonly (KvValue | undefined)[],
    skipped: ReadonlySet<number>,
    { unchanged = false, beside = false }: ReadOptions,
  ): Promise<void> {
    const { reader, reads, writes, isolation } = this.parts;
    const snapshot = reader.context.readTimestamp;
    let newest = 0;
    for (const [index, key] of keys.entries()) {
      if (skipped.has(index)) continue;
      const version = values[index]?.timestamp ?? 0;
      const before = reads.point(keyText(key));
      const isOther = before !== undefined && isChanged(before, version);
      newest = Math.max(newest, version);
      if (unchanged && snapshot > 0) {
        // A row that only a scan has seen was there: absent now, it was deleted.
        const wasThere = before !== undefined || version > 0 || writes.lookup(key) !== undefined;
        if (version > snapshot || isOther || !wasThere) throw changed(key);
      } else if (before !== undefined && isOther) {
        // Under read committed a lock shows what is newest. But what was locked before was to stay as it was, and the lock
        // is lost; and what was written rests on what had been read.
        const counts = before.locked || writes.writes(keyText(key));
        if (isolation !== 'read committed' || counts) throw changed(key);
      }
    }
    if (isolation !== 'read committed' && snapshot > 0 && !beside) await reader.moveTo(newest);
  }
}

function changed(key: Uint8Array): DbError {
  return new DbError('CONFLICT', 'a key was changed since it was read', { key });
}
