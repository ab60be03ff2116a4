/**
 * A router without a cluster: rows in one sorted array, cut into ranges at the keys it is given. Takes the same
 * arguments, gives the same answers and refuses the same things as the real one, one instant per call.
 */
import {
  compareBytes,
  DbError,
  emptyBytes,
  equalBytes,
  keyMax,
  type Span,
  spanContains,
  spanContainsSpan,
  spanIntersection,
} from '@flotilla/base';
import type {
  DiscoveredStore,
  KvRow,
  KvValue,
  OperationOptions,
  Router,
  ScanOptions,
  StoreInspection,
  StoreStatus,
  WriteBatch,
  WriteCondition,
  WriteOutcome,
} from '@flotilla/router';

type RangeInfo = Awaited<ReturnType<Router['lookup']>>;

export interface MemoryRouterOptions {
  /** Where one range ends and the next begins, in key order. Default: one range. */
  readonly splitKeys?: readonly Uint8Array[];
}

/** What a planned failure does: `applied` says whether the write took effect all the same. */
export interface PlannedFailure {
  readonly error: DbError;
  readonly applied: boolean;
  /** Let this many writes pass first. Default: 0. */
  readonly after?: number;
}

export class MemoryRouter implements Router {
  /** Every batch that was sent, in order, for tests to look at. */
  readonly writes: WriteBatch[] = [];
  /** Calls of `get` and `scan`. */
  reads = 0;
  private readonly ranges: readonly Span[];
  get transactions(): never {
    throw new DbError('NOT_SUPPORTED', 'a router in memory has no transactions');
  }
  get peers(): never {
    throw new DbError('NOT_SUPPORTED', 'a router in memory is alone');
  }
  private rows: KvRow[] = [];
  private lastTimestamp = 0;
  /** By position in `writes`. */
  private readonly failures = new Map<number, PlannedFailure>();
  private closed = false;

  constructor(options: MemoryRouterOptions = {}) {
    const bounds = [emptyBytes, ...(options.splitKeys ?? []), keyMax];
    this.ranges = bounds
      .slice(1)
      .map((endKey, index) => ({ startKey: bounds[index] ?? emptyBytes, endKey }));
  }

  /** A write to come fails with this. */
  failWrite(failure: PlannedFailure): void {
    this.failures.set(this.writes.length + (failure.after ?? 0), failure);
  }

  async get(
    keys: readonly Uint8Array[],
    options: OperationOptions = {},
  ): Promise<readonly (KvValue | undefined)[]> {
    this.check(options);
    this.reads++;
    return keys.map((key) => this.find(key));
  }

  async *scan(span: Span, options: ScanOptions = {}): AsyncIterable<readonly KvRow[]> {
    this.check(options);
    this.reads++;
    const batchRows = options.batchRows ?? 1000;
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    const ranges = options.reverse ? [...this.ranges].reverse() : this.ranges;
    for (const range of ranges) {
      let part = spanIntersection(range, span);
      while (part !== undefined && left > 0) {
        this.check(options);
        const within: Span = part;
        const all = this.rows.filter((row) => spanContains(within, row.key));
        if (options.reverse) all.reverse();
        const batch = all.slice(0, Math.min(batchRows, left));
        left -= batch.length;
        const last = batch[batch.length - 1];
        if (batch.length > 0) yield batch;
        if (last === undefined || batch.length === all.length) break;
        part = options.reverse
          ? { startKey: within.startKey, endKey: last.key }
          : { startKey: Buffer.concat([last.key, Buffer.of(0)]), endKey: within.endKey };
      }
    }
  }

  async write(batch: WriteBatch, options: OperationOptions = {}): Promise<WriteOutcome> {
    this.check(options);
    this.checkOneRange(batch);
    const failure = this.failures.get(this.writes.length);
    this.writes.push(batch);
    if (failure !== undefined) {
      if (failure.applied) this.apply(batch);
      throw failure.error;
    }
    for (const [failedCondition, condition] of batch.conditions.entries()) {
      const foundTimestamp = this.find(condition.key)?.timestamp ?? 0;
      if (!holds(condition, foundTimestamp))
        return { applied: false, failedCondition, foundTimestamp };
    }
    return { applied: true, timestamp: this.apply(batch) };
  }

  async lookup(key: Uint8Array): Promise<RangeInfo> {
    const index = this.ranges.findIndex((range) => spanContains(range, key));
    const range = this.ranges[index];
    if (range === undefined) throw new DbError('INVALID_ARGUMENT', 'no range holds the key');
    return {
      descriptor: { rangeId: index + 1, ...range, generation: 1, replicas: [] },
      leaseholderStoreId: 1,
      term: 1,
    };
  }

  async discover(): Promise<readonly DiscoveredStore[]> {
    return [];
  }

  async inspect(): Promise<StoreInspection> {
    return {};
  }

  async status(): Promise<StoreStatus> {
    throw new DbError('UNAVAILABLE', 'there are no stores');
  }

  async configureSpan(): Promise<never> {
    throw new DbError('NOT_SUPPORTED', 'a router in memory has no configurations');
  }

  async readConfigurations(): Promise<never[]> {
    return [];
  }

  async changeMembers(): Promise<void> {
    throw new DbError('INVALID_ARGUMENT', 'there are no stores');
  }

  async transferLease(): Promise<void> {
    throw new DbError('INVALID_ARGUMENT', 'there are no stores');
  }

  async split(): Promise<never> {
    throw new DbError('UNAVAILABLE', 'there are no stores');
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  private apply(batch: WriteBatch): number {
    const timestamp = ++this.lastTimestamp;
    for (const mutation of batch.mutations) {
      const at = this.position(mutation.key);
      const there = this.find(mutation.key) === undefined ? 0 : 1;
      if (mutation.kind === 'delete') this.rows.splice(at, there);
      else this.rows.splice(at, there, { key: mutation.key, value: mutation.value, timestamp });
    }
    for (const span of batch.deleteSpans)
      this.rows = this.rows.filter((row) => !spanContains(span, row.key));
    return timestamp;
  }

  private find(key: Uint8Array): KvRow | undefined {
    const row = this.rows[this.position(key)];
    return row !== undefined && equalBytes(row.key, key) ? row : undefined;
  }

  /** Index of the first row at or after `key`. */
  private position(key: Uint8Array): number {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const row = this.rows[middle];
      if (row !== undefined && compareBytes(row.key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private checkOneRange(batch: WriteBatch): void {
    const keys = [...batch.conditions, ...batch.mutations].map((item) => item.key);
    const first = keys[0] ?? batch.deleteSpans[0]?.startKey;
    if (first === undefined) throw new DbError('INVALID_ARGUMENT', 'a write writes something');
    const range = this.ranges.find((candidate) => spanContains(candidate, first));
    const inside =
      range !== undefined &&
      keys.every((key) => spanContains(range, key)) &&
      batch.deleteSpans.every((span) => spanContainsSpan(range, span));
    if (!inside) throw new DbError('NOT_SUPPORTED', 'writes across ranges are not supported');
  }

  private check(options: OperationOptions): void {
    if (this.closed) throw new DbError('CLOSED', 'the router is closed');
    if (options.signal?.aborted) throw new DbError('CANCELLED', 'cancelled by the caller');
  }
}

function holds(condition: WriteCondition, foundTimestamp: number): boolean {
  switch (condition.kind) {
    case 'absent':
      return foundTimestamp === 0;
    case 'unchanged':
      return foundTimestamp === condition.timestamp;
  }
}
