/**
 * A range's state as a stream of chunks, read from the engine as it was at one moment: iterators, position, sessions and
 * descriptor are taken together, between two engine writes. Holds the iterators until it is closed.
 */

import type { Engine, EngineIterator, EngineRow } from '../engine/engine.ts';
import type { EngineTurns } from '../engine/engine-turns.ts';
import type { Replica } from '../replica/replica.ts';
import { encodeRangeCheckpoint } from '../state/range-checkpoint.ts';
import { dataPrefixBytes } from '../state/storage-keys.ts';
import { checkStored } from '../state/stored-value.ts';
import {
  type RecordKind,
  recordKind,
  recordPrefix,
  recordPrefixBytes,
  StreamTotals,
  userKeyOfRecord,
} from './stream.ts';

export interface SourceOptions {
  readonly engine: Engine;
  readonly turns: EngineTurns;
  readonly replica: Replica;
  readonly chunkBytes: number;
}

const rowsPerRead = 256;

export class SnapshotSource {
  /** Of the state that is sent. */
  readonly index: number;
  readonly totals: StreamTotals = new StreamTotals();
  private readonly chunkBytes: number;
  private readonly parts: { readonly kind: RecordKind; readonly iterator: EngineIterator }[];
  private pending: Buffer[];
  private pendingBytes: number;

  /** Takes the state when no engine write is under way. */
  static open(options: SourceOptions): Promise<SnapshotSource> {
    return new Promise((resolve, reject) => {
      const collect = (): [] => {
        resolve(new SnapshotSource(options));
        return [];
      };
      options.turns.write(collect).catch(reject);
    });
  }

  private constructor(options: SourceOptions) {
    const { engine, replica, chunkBytes } = options;
    const { startKey, endKey } = replica.descriptor;
    this.chunkBytes = chunkBytes;
    this.index = replica.appliedIndex;
    const { space } = replica;
    this.parts = [
      {
        kind: recordKind.data,
        iterator: engine.iterate(space.dataSpan(startKey, endKey)),
      },
      {
        kind: recordKind.history,
        iterator: engine.iterate(space.historySpan(startKey, endKey)),
      },
      { kind: recordKind.intent, iterator: engine.iterate(space.intentSpan(startKey, endKey)) },
      { kind: recordKind.record, iterator: engine.iterate(space.recordSpan(startKey, endKey)) },
    ];
    const header = encodeRangeCheckpoint({ ...replica.state(), replicaId: 0, storageId: 0 });
    this.pending = [recordPrefix(recordKind.header, 0, header.length), Buffer.from(header)];
    this.pendingBytes = this.pending.reduce((bytes, piece) => bytes + piece.length, 0);
  }

  /** @returns undefined at the end; `totals` are complete then */
  async next(): Promise<Buffer | undefined> {
    for (let part = this.parts[0]; part !== undefined; part = this.parts[0]) {
      if (this.pendingBytes >= this.chunkBytes) break;
      const rows = await part.iterator.next(rowsPerRead);
      for (const row of rows) this.add(part.kind, row);
      if (rows.length > 0) continue;
      this.parts.shift();
      await part.iterator.close();
    }
    if (this.pendingBytes === 0) return undefined;
    const [first] = this.pending;
    const bytes =
      first !== undefined && this.pending.length === 1 ? first : Buffer.concat(this.pending);
    const chunk = bytes.subarray(0, this.chunkBytes);
    const rest = bytes.subarray(chunk.length);
    this.pending = rest.length === 0 ? [] : [rest];
    this.pendingBytes = rest.length;
    this.totals.add(chunk);
    return chunk;
  }

  /** Lets go of the engine's state. Idempotent. */
  async close(): Promise<void> {
    for (const { iterator } of this.parts.splice(0)) await iterator.close();
  }

  private add(kind: RecordKind, row: EngineRow): void {
    const key = row.key.subarray(dataPrefixBytes);
    // Rot must not travel: what fails its checksum here ends this process, as on any other read.
    checkStored(userKeyOfRecord(kind, key) ?? key, row.value);
    this.pending.push(recordPrefix(kind, key.length, row.value.length), key, row.value);
    this.pendingBytes += recordPrefixBytes + key.length + row.value.length;
    this.totals.rows++;
  }
}
