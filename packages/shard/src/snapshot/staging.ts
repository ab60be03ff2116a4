/**
 * Where a snapshot is written while it comes: rows under a storage id that nothing refers to. Whoever installs it writes
 * the range row that does; a crash before that leaves rows that recovery sweeps.
 */
import type { EngineOperation } from '../engine/engine.ts';
import type { EngineTurns } from '../engine/engine-turns.ts';
import { decodeRangeCheckpoint, type RangeState } from '../state/range-checkpoint.ts';
import { StorageSpace } from '../state/storage-keys.ts';
import { isIntact } from '../state/stored-value.ts';
import {
  type RecordKind,
  RecordReader,
  recordKind,
  type SnapshotRecord,
  userKeyOfRecord,
} from './stream.ts';

export interface StagingOptions {
  readonly turns: EngineTurns;
  readonly storageId: number;
  readonly replicaId: number;
  /** Says why a header is not what was offered, or undefined. */
  readonly refuse: (state: RangeState) => string | undefined;
}

export class Staging {
  readonly storageId: number;
  rows = 0;
  private readonly options: StagingOptions;
  private readonly space: StorageSpace;
  private readonly reader = new RecordReader();
  private state: RangeState | undefined;

  constructor(options: StagingOptions) {
    this.options = options;
    this.storageId = options.storageId;
    this.space = new StorageSpace(options.storageId);
  }

  /** @returns why these bytes are refused; undefined once they are written */
  async write(bytes: Buffer): Promise<string | undefined> {
    const read = this.reader.push(bytes);
    if (!read.ok) return read.reason;
    const operations: EngineOperation[] = [];
    for (const record of read.records) {
      const reason = this.accept(record, operations);
      if (reason !== undefined) return reason;
    }
    if (operations.length > 0) await this.options.turns.write(() => operations);
    return undefined;
  }

  /** The stream is over. @returns the state whose rows are written, though not durable, or why it is refused */
  finish(): RangeState | string {
    if (this.state === undefined || !this.reader.isEmpty) return 'the stream ends early';
    return this.state;
  }

  private accept(record: SnapshotRecord, operations: EngineOperation[]): string | undefined {
    const { kind, key, value } = record;
    if (kind === recordKind.header) return this.acceptHeader(value);
    if (this.state === undefined) return 'rows before the header';
    const userKey = userKeyOfRecord(kind, key);
    if (userKey === undefined) return 'a key of another form';
    const { startKey, endKey } = this.state.descriptor;
    if (Buffer.compare(userKey, startKey) < 0 || Buffer.compare(userKey, endKey) >= 0)
      return 'a row outside the range';
    if (!isIntact(userKey, value)) return 'a value fails its checksum';
    const reason = this.addToState(kind, userKey, record);
    if (reason !== undefined) return reason;
    operations.push({ type: 'put', key: this.engineKey(kind, key), value });
    this.rows++;
    return undefined;
  }

  private engineKey(kind: RecordKind, key: Buffer): Buffer {
    switch (kind) {
      case recordKind.history:
        return this.space.adoptHistoryKey(key);
      case recordKind.record:
        return this.space.adoptRecordKey(key);
      case recordKind.intent:
        return this.space.intentKey(key);
      default:
        return this.space.dataKey(key);
    }
  }

  /** Intents and records are in memory too. @returns why they are refused */
  private addToState(
    kind: RecordKind,
    userKey: Buffer,
    { key, value }: SnapshotRecord,
  ): string | undefined {
    try {
      if (kind === recordKind.intent) this.state?.transactions.addIntent(userKey, value);
      if (kind === recordKind.record) this.state?.transactions.addRecordRow(key, value);
      return undefined;
    } catch (error) {
      return String(error);
    }
  }

  private acceptHeader(value: Buffer): string | undefined {
    if (this.state !== undefined) return 'a second header';
    const decoded = decodeRangeCheckpoint(value);
    if (!decoded.ok) return `bad header: ${decoded.reason}`;
    const { replicaId, storageId } = this.options;
    const state = { ...decoded.state, replicaId, storageId };
    const reason = this.options.refuse(state);
    if (reason === undefined) this.state = state;
    return reason;
  }
}
