/**
 * One snapshot on its way in: pulls chunks, checks them, writes them to staging at the engine's pace, and has the result
 * installed. A chunk that is missing or damaged is asked for again. Decides nothing about whether it is wanted: that was
 * its receiver's business, and is the log's when it is installed.
 */
import { type Clock, crc32c, type StoreId, type Timer } from '@flotilla/base';
import type { RangeState } from '../state/range-checkpoint.ts';
import { type BulkMessage, type Chunk, type End, type Offer, SnapshotOutcome } from './messages.ts';
import type { Staging } from './staging.ts';
import { StreamTotals } from './stream.ts';

export type Installed =
  | { readonly ok: true; readonly index: number }
  | {
      readonly ok: false;
      readonly outcome: SnapshotOutcome;
      readonly reason: string;
      /** The process ends before it is known whether the log took it: what is staged must stay. */
      readonly undecided?: boolean;
    };

export interface IncomingOptions {
  readonly offer: Offer;
  readonly from: StoreId;
  readonly clock: Clock;
  readonly idleMs: number;
  readonly windowChunks: number;
  readonly staging: Staging;
  readonly send: (message: BulkMessage) => void;
  /** Makes the staged state durable and the replica's. */
  readonly install: (state: RangeState) => Promise<Installed>;
  /** The staged rows are nobody's. */
  readonly reclaim: (storageId: number) => void;
  /** Called once; what was staged is in use, or on its way out. */
  readonly onEnded: (end: End) => void;
  readonly onFatal: (error: unknown) => void;
}

export class IncomingSnapshot {
  readonly options: IncomingOptions;
  private readonly totals = new StreamTotals();
  private queue: Chunk[] = [];
  /** Sequence of the next chunk to come, and of the next to be written. */
  private next = 0;
  private written = 0;
  private askedAgainFor = -1;
  private state: 'receiving' | 'installing' | 'ended' = 'receiving';
  private writing = false;
  private aborted: string | undefined;
  private lastProgressMs: number;
  private timer: Timer | undefined;

  constructor(options: IncomingOptions) {
    this.options = options;
    this.lastProgressMs = options.clock.nowMs();
    this.pull();
    this.arm();
  }

  get isInstalling(): boolean {
    return this.state === 'installing';
  }

  /** The sender has not heard for a while: says where this stands. */
  repeat(): void {
    if (this.state !== 'ended') this.pull();
  }

  onChunk(chunk: Chunk): void {
    if (this.state !== 'receiving' || this.aborted !== undefined || chunk.sequence < this.next)
      return;
    if (chunk.sequence > this.next || crc32c(chunk.bytes) !== chunk.crc) {
      if (this.askedAgainFor === this.next) return;
      this.askedAgainFor = this.next;
      this.pull(true);
      return;
    }
    if (this.next >= this.written + this.options.windowChunks) return;
    this.next++;
    this.lastProgressMs = this.options.clock.nowMs();
    this.totals.add(chunk.bytes);
    this.queue.push(chunk);
    if (this.writing) return;
    this.writing = true;
    this.write().catch((error: unknown) => this.options.onFatal(error));
  }

  /** Ends it, unless it is being installed: then the log decides. */
  abort(reason: string): void {
    if (this.state !== 'receiving' || this.aborted !== undefined) return;
    this.aborted = reason;
    if (!this.writing) this.end(failed(reason));
  }

  private async write(): Promise<void> {
    const { staging } = this.options;
    for (let chunk = this.queue.shift(); chunk !== undefined; chunk = this.queue.shift()) {
      const reason = await staging.write(chunk.bytes);
      if (reason !== undefined) return this.end(failed(reason));
      if (this.aborted !== undefined) return this.end(failed(this.aborted));
      this.written = chunk.sequence + 1;
      if (chunk.summary !== undefined) return this.complete(chunk.summary);
      this.pull();
    }
    this.writing = false;
  }

  private async complete(summary: NonNullable<Chunk['summary']>): Promise<void> {
    const { totals, options } = this;
    const { staging } = options;
    if (
      summary.rows !== staging.rows ||
      summary.bytes !== totals.bytes ||
      summary.digest !== totals.digest
    )
      return this.end(failed('the stream is not what was sent'));
    this.state = 'installing';
    this.pull();
    const state = staging.finish();
    this.end(typeof state === 'string' ? failed(state) : await options.install(state));
  }

  private end(installed: Installed): void {
    const { staging, reclaim, offer, send, onEnded } = this.options;
    this.state = 'ended';
    this.timer?.cancel();
    this.queue = [];
    if (!installed.ok && installed.undecided !== true) reclaim(staging.storageId);
    const end: End = {
      kind: 'end',
      snapshotId: offer.snapshotId,
      outcome: installed.ok ? SnapshotOutcome.SNAPSHOT_INSTALLED : installed.outcome,
      index: installed.ok ? installed.index : 0,
      reason: installed.ok ? '' : installed.reason,
    };
    onEnded(end);
    send(end);
  }

  private pull(again: boolean = false): void {
    const { offer, windowChunks, send } = this.options;
    send({
      kind: 'pull',
      snapshotId: offer.snapshotId,
      next: this.next,
      upTo: this.written + windowChunks,
      again,
      installing: this.state === 'installing',
    });
  }

  private arm(): void {
    const { clock, idleMs } = this.options;
    const before = this.next;
    this.timer = clock.setTimer(idleMs / 10, () => {
      if (this.state === 'ended') return;
      if (this.state === 'installing') this.pull();
      else if (clock.nowMs() - this.lastProgressMs >= idleMs && !this.writing)
        this.abort('no progress');
      // Nothing came although something was asked for: chunks or pulls were lost.
      else if (this.next === before && !this.writing) this.pull(true);
      if (this.aborted === undefined) this.arm();
    });
  }
}

function failed(reason: string): Installed {
  return { ok: false, outcome: SnapshotOutcome.SNAPSHOT_FAILED, reason };
}
