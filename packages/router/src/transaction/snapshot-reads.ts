/** Reads in a transaction: of its snapshot, and of the newest values under a lock. They share the plain read's way. */
import { kv } from '@flotilla/shard/protocol';
import type { Response } from '../client-link.ts';
import type { GetTransaction } from '../get-operation.ts';
import type { Refusal } from '../range-call.ts';
import type { TransactionFields } from '../wire.ts';
import { encodeHeaderField, mayFollow, observe } from './header.ts';
import { waitNotice } from './refusals.ts';
import type { LockOptions, OnWaiting, TransactionContext } from './transaction-api.ts';

const { LockMode, LockWait } = kv;

export interface ReadingOptions {
  readonly coordinator: string;
  /** Picks a snapshot where no leaseholder can: the keys lie in several ranges. */
  readonly now: () => number;
  /** How old a snapshot must be that any replica may be asked for. Unit: ms. */
  readonly followerReadLagMs: number;
  readonly lock: LockOptions | undefined;
  readonly onWaiting: OnWaiting | undefined;
}

export class SnapshotReading implements GetTransaction {
  /** The newest snapshot among the answers. */
  readTimestamp = 0;
  readonly skipped: number[] = [];
  private readonly context: TransactionContext;
  private readonly options: ReadingOptions;
  private readonly body: Uint8Array;

  constructor(context: TransactionContext, options: ReadingOptions) {
    this.context = context;
    this.options = options;
    this.body = options.lock === undefined ? noBytes : lockFields(options.lock);
  }

  onSeveralRanges(): void {
    const { context, options } = this;
    // Newest values need no snapshot.
    if (context.readTimestamp === 0 && options.lock === undefined)
      context.readTimestamp = options.now();
  }

  mayFollow(): boolean {
    const { lock, now, followerReadLagMs } = this.options;
    return lock === undefined && mayFollow(this.context, now(), followerReadLagMs);
  }

  fields(storeId: number, following: boolean): TransactionFields {
    const { coordinator, lock } = this.options;
    if (lock !== undefined) this.context.stores.add(storeId);
    const target = { coordinator, storeId, following };
    return { header: encodeHeaderField(this.context, target), body: this.body };
  }

  onAnswer(
    response: NonNullable<Response['get']>,
    indexes: readonly number[],
    fromStore: number,
  ): void {
    observe(this.context, fromStore, response.storeTimestamp ?? 0);
    this.readTimestamp = Math.max(this.readTimestamp, response.readTimestamp ?? 0);
    const { values } = response;
    if (this.options.lock?.wait !== 'skip' || !values) return;
    for (let i = 0; i < values.length; i++)
      if (values[i]?.skipped) this.skipped.push(indexes[i] ?? 0);
  }

  onLockWaiting(refusal: Refusal): Error | undefined {
    return this.options.onWaiting?.(waitNotice(refusal));
  }
}

const noBytes = new Uint8Array(0);
const modes = { share: LockMode.LOCK_SHARE, exclusive: LockMode.LOCK_EXCLUSIVE } as const;
const waits = {
  block: LockWait.LOCK_BLOCK,
  nowait: LockWait.LOCK_NOWAIT,
  skip: LockWait.LOCK_SKIP_LOCKED,
} as const;

function lockFields(lock: LockOptions): Uint8Array {
  return kv.GetRequest.encode({ lock: modes[lock.mode], wait: waits[lock.wait] }).finish();
}
