/**
 * Closes timestamps of the ranges that this store leads, and tells the stores that follow. A few times a second one walk:
 * each leaseholder promises to write nothing at or below `lagMs` ago any more, and says up to which index of its log what it
 * wrote before may lie. One message per store, whatever the number of ranges. ADR 0015 argues it; in short:
 *
 * What is claimed of a range, (index, timestamp), is true for ever: no committed entry behind the index writes at or below the
 * timestamp. Entries of earlier terms are at or before the index, because the leaseholder has applied one of its own term.
 * Its own later ones are above, as promised. Those of later leaders are above, because the lease was valid after the
 * timestamp had been chosen: to them it is like a snapshot that was read there under that lease, and `take-over.ts` keeps them
 * above those. So it needs no term, survives whoever made it, and means the same to any replica that has applied so far.
 */
import {
  type Clock,
  type HybridLogicalClock,
  type StoreId,
  type Timer,
  timestampSpan,
} from '@flotilla/base';
import type { Replica } from '../replica/replica.ts';
import { type ClosedMessage, ToldRanges } from './told-ranges.ts';

export interface ClosingOptions {
  readonly clock: Clock;
  readonly hlc: HybridLogicalClock;
  readonly storeId: StoreId;
  readonly incarnation: number;
  readonly replicas: ReadonlyMap<number, Replica>;
  /** How long ago what is closed was. Unit: ms. */
  readonly lagMs: number;
  /** Between two walks. Unit: ms. */
  readonly intervalMs: number;
  readonly changesPerMessage: number;
  readonly send: (to: StoreId, message: ClosedMessage) => void;
  readonly onFatal: (error: unknown) => void;
}

export class Closing {
  private readonly options: ClosingOptions;
  private readonly told = new Map<StoreId, ToldRanges>();
  private timer: Timer | undefined;
  private stopped = false;

  constructor(options: ClosingOptions) {
    this.options = options;
  }

  start(): void {
    this.arm();
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  /** The other store lacks something of what it was told by this process. */
  onMissed(from: StoreId, incarnation: number): void {
    if (incarnation === this.options.incarnation) this.told.get(from)?.forget();
  }

  private arm(): void {
    if (this.stopped) return;
    const { clock, intervalMs, onFatal } = this.options;
    this.timer = clock.setTimer(intervalMs, () => {
      try {
        this.walk();
      } catch (error) {
        onFatal(error);
        return;
      }
      this.arm();
    });
  }

  private walk(): void {
    const { hlc, lagMs, storeId, replicas, send } = this.options;
    // Before any lease is looked at: whoever leads next writes above what was served under it.
    const closed = hlc.now() - timestampSpan(lagMs);
    if (closed <= 0) return;
    for (const { rangeId, leaseholder, descriptor } of replicas.values()) {
      const index = leaseholder?.close(closed);
      if (index === undefined) continue;
      for (const member of descriptor.replicas)
        if (member.storeId !== storeId) this.toldOf(member.storeId).note(rangeId, index);
    }
    for (const [to, told] of this.told) for (const message of told.take(closed)) send(to, message);
  }

  private toldOf(storeId: StoreId): ToldRanges {
    let told = this.told.get(storeId);
    if (told === undefined) {
      const { incarnation, changesPerMessage } = this.options;
      told = new ToldRanges({ incarnation, changesPerMessage });
      this.told.set(storeId, told);
    }
    return told;
  }
}
