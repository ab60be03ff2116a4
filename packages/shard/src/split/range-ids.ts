/**
 * Ids for new ranges: a counter in the first meta range, moved on by a block at a time through its log. Two ends: the
 * store that needs ids asks all stores of that range, again and again, until one grants; the leaseholder there writes the
 * counter and answers when that is applied. Blocks that get lost on the way are gaps and nothing else. Copies of a grant are
 * known by their ids; one that outlives the process it was sent to would not be, but the network keeps nothing for those.
 */
import { asBuffer, type Clock, clusterPrefix, concatBytes, probe } from '@flotilla/base';
import { ownCaller } from '../replica/answers.ts';
import { newestStored } from '../replica/evaluation.ts';
import { overlayKey } from '../replica/overlay.ts';
import type { Replica } from '../replica/replica.ts';
import { readU64, writeU64 } from '../state/storage-keys.ts';
import { storedPayload } from '../state/stored-value.ts';

/** The least id that no range was ever given. */
export const nextRangeIdKey: Buffer = Buffer.from(
  concatBytes(clusterPrefix, Buffer.from('next-range-id')),
);
const blockSize = 16;
/** Unit: ms. */
const repeatMs = 200;
const giveUpMs = 5000;

export function rangeIdValue(next: number): Buffer {
  const value = Buffer.allocUnsafe(8);
  writeU64(value, 0, next);
  return value;
}

/** Moves the counter on. @param granted called when that is certain; perhaps never */
export function grantRangeIds(
  meta: Replica,
  nowMs: number,
  granted: (first: number, count: number) => void,
): void {
  const { leaseholder } = meta;
  if (leaseholder === undefined || !leaseholder.isReady) return;
  const stored = newestStored(leaseholder.view(), overlayKey(nextRangeIdKey), nextRangeIdKey);
  if (stored === undefined) return; // not the range that has the counter
  const payload = storedPayload(asBuffer(stored));
  const first = payload.length === 8 ? readU64(payload, 0) : 0;
  // Somebody has overwritten it: which ids are free is not known any more.
  if (!isCounter(first)) return;
  const value = rangeIdValue(first + blockSize);
  leaseholder.internalWrite(
    { mutations: [{ key: nextRangeIdKey, value, isDelete: false }] },
    ownCaller(nowMs + giveUpMs, (answer) => {
      if (answer.write?.applied === true) granted(first, blockSize);
    }),
  );
}

function isCounter(next: number): boolean {
  return Number.isSafeInteger(next + blockSize) && next > 0;
}

export interface RangeIdsOptions {
  readonly clock: Clock;
  /** Asks whoever may grant. */
  readonly ask: () => void;
}

export class RangeIds {
  private readonly options: RangeIdsOptions;
  /** Every id below it was taken, or will never be. */
  private next = 0;
  private left = 0;
  private asking = false;
  private waiting: ((rangeId: number | undefined) => void)[] = [];

  constructor(options: RangeIdsOptions) {
    this.options = options;
  }

  /** @returns an id that nobody else gets; undefined: nobody grants any just now */
  take(): Promise<number | undefined> {
    if (this.left > 0) {
      this.left--;
      return Promise.resolve(this.next++);
    }
    const taken = new Promise<number | undefined>((resolve) => this.waiting.push(resolve));
    if (!this.asking) this.askUntil(this.options.clock.nowMs() + giveUpMs);
    return taken;
  }

  onGrant(first: number, count: number): void {
    if (!Number.isSafeInteger(first) || !(first > 0) || !(count > 0)) return;
    // One that nobody waits for any more is as good as lost, unless there are none left.
    if (this.left > 0) return;
    // The counter only rises: this is a copy of a grant that was used, or one that was overtaken.
    if (first < this.next) return;
    probe('rangeIdsGranted');
    this.next = first;
    this.left = count;
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) void this.take().then(resolve);
  }

  private askUntil(deadlineMs: number): void {
    const { clock, ask } = this.options;
    this.asking = this.waiting.length > 0;
    if (!this.asking) return;
    if (clock.nowMs() >= deadlineMs) {
      this.asking = false;
      const { waiting } = this;
      this.waiting = [];
      for (const resolve of waiting) resolve(undefined);
      return;
    }
    ask();
    clock.setTimer(repeatMs, () => this.askUntil(deadlineMs));
  }
}
