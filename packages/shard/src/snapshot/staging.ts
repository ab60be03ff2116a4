/**
 * Where a snapshot is written while it comes: rows under a storage id that nothing refers to. The range row that refers
 * to it is written last and made durable with the data; only the log makes it the truth. A crash before that leaves rows
 * that recovery sweeps.
 */
import type { Engine, EngineOperation } from '../engine/engine.ts';
import type { EngineTurns } from '../engine/engine-turns.ts';
import {
  decodeRangeCheckpoint,
  type RangeState,
  rangeCheckpointRow,
} from '../state/range-checkpoint.ts';
import { rangeRowKey, StorageSpace, userKeyOfHistory } from '../state/storage-keys.ts';
import { isIntact } from '../state/stored-value.ts';
import { RecordReader, recordKind, type SnapshotRecord } from './stream.ts';

export interface StagingOptions {
  readonly engine: Engine;
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

  /** The stream is over. @returns the state that now is durable, or why it is refused */
  async finish(): Promise<RangeState | string> {
    const { state } = this;
    if (state === undefined || !this.reader.isEmpty) return 'the stream ends early';
    await this.options.turns.write(() => [rangeCheckpointRow(state)]);
    await this.options.engine.flush();
    return state;
  }

  /** The range row goes at once, so that nothing refers to the rows; those are the caller's to reclaim. */
  async discard(): Promise<void> {
    const { state } = this;
    if (state === undefined) return;
    const key = rangeRowKey(state.descriptor.rangeId, state.appliedIndex);
    await this.options.turns.write(() => [{ type: 'del', key }]);
  }

  private accept(record: SnapshotRecord, operations: EngineOperation[]): string | undefined {
    const { kind, key, value } = record;
    if (kind === recordKind.header) return this.acceptHeader(value);
    if (this.state === undefined) return 'rows before the header';
    const userKey = kind === recordKind.data ? key : userKeyOfHistory(key);
    if (userKey === undefined) return 'a history key of another form';
    const { startKey, endKey } = this.state.descriptor;
    if (Buffer.compare(userKey, startKey) < 0 || Buffer.compare(userKey, endKey) >= 0)
      return 'a row outside the range';
    if (!isIntact(userKey, value)) return 'a value fails its checksum';
    operations.push({
      type: 'put',
      key: kind === recordKind.data ? this.space.dataKey(key) : this.space.adoptHistoryKey(key),
      value,
    });
    this.rows++;
    return undefined;
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
