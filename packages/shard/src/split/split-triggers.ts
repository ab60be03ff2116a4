/**
 * Which ranges this store should cut by itself: those that hold too much, and those that are asked too much. Looks at the
 * ranges that it leads, now and then; at most one is measured and cut at a time, and one that was looked at in vain is
 * left alone for a while, so that neither a range of one huge key nor a row that everybody wants is tried for ever. Where
 * something was cut it looks again at once: a thousand tables in one range, each with wishes of its own, take a thousand cuts.
 * Decides where; `splits.ts` does it.
 */
import {
  type Clock,
  compareBytes,
  type Logger,
  probe,
  type RangeId,
  rootEndKey,
  type Timer,
} from '@flotilla/base';
import type { Engine } from '../engine/engine.ts';
import type { RangeConfigurations } from '../protocol/range-configuration.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import type { Replica } from '../replica/replica.ts';
import { measure } from './measure.ts';
import type { RangeLoad } from './range-load.ts';
import { type SplitResult, splitKeyBytesMax } from './splits.ts';

export interface SplitTriggersOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly engine: Engine;
  readonly replicas: ReadonlyMap<number, Replica>;
  readonly load: RangeLoad;
  readonly split: (replica: Replica, key: Uint8Array, because: string) => Promise<SplitResult>;
  /** What is wanted of the key space. A range is cut where something else is wanted. */
  readonly configurations: () => RangeConfigurations;
  /** A range with more than this, or than is wanted of it, is cut in the middle. 0: never. Unit: bytes. */
  readonly bytesMax: number;
  /** One that is asked more often than this for two windows is cut where that divides the load. 0: never. */
  readonly requestsPerSecondMax: number;
  readonly onFatal: (error: unknown) => void;
}

/** How often the ranges are looked at, and the window of the load. Unit: ms. */
export const triggerWindowMs = 5000;
/** A range that was cut, or could not be, is left alone for so many windows. */
const restWindows = 6;
/** One that was read through and has no middle, because it is the history of one row, is not read through again so soon. */
const restOfOneRowWindows = 120;
/** After a look that cut something; the right halves need a moment to be led. Unit: ms. */
const lookAgainMs = 200;

export class SplitTriggers {
  private readonly options: SplitTriggersOptions;
  /** By range: not before this window. */
  private readonly resting = new Map<RangeId, number>();
  private window = 0;
  private busy = false;
  /** That were made. */
  private cuts = 0;
  private timer: Timer | undefined;
  private pause: Timer | undefined;
  private stopped = false;

  constructor(options: SplitTriggersOptions) {
    this.options = options;
  }

  start(): void {
    if (this.stopped) return;
    this.timer = this.options.clock.setTimer(triggerWindowMs, () => {
      this.look();
      this.start();
    });
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
    this.pause?.cancel();
  }

  private look(): void {
    this.window++;
    this.options.load.endWindow(triggerWindowMs);
    for (const [rangeId, until] of this.resting)
      if (until <= this.window) this.resting.delete(rangeId);
    if (this.busy) return;
    this.busy = true;
    this.cutAll()
      .catch((error: unknown) => {
        if (!this.stopped) this.options.onFatal(error);
      })
      .finally(() => {
        this.busy = false;
      });
  }

  private async cutAll(): Promise<void> {
    while ((await this.cutEach()) > 0 && !this.stopped)
      await new Promise<void>((resolve) => {
        this.pause = this.options.clock.setTimer(lookAgainMs, resolve);
      });
  }

  /** @returns how many were cut */
  private async cutEach(): Promise<number> {
    const { requestsPerSecondMax, load, configurations } = this.options;
    const before = this.cuts;
    for (const replica of [...this.options.replicas.values()]) {
      if (this.stopped) return 0;
      const { rangeId } = replica;
      if (replica.leaseholder?.isReady !== true || this.resting.has(rangeId)) continue;
      const rate = load.steadyRate(rangeId);
      const bytesMax = this.bytesMaxOf(replica);
      const boundary = configurations().boundaryIn(replica.descriptor);
      if (boundary !== undefined) await this.cut(replica, boundary, 'configuration');
      else if (bytesMax > 0 && replica.storedBytes > bytesMax) await this.cutBySize(replica);
      else if (requestsPerSecondMax > 0 && rate > requestsPerSecondMax)
        await this.cut(replica, load.dividingKey(divisible(replica.descriptor)), 'load');
    }
    return this.cuts - before;
  }

  private bytesMaxOf({ descriptor }: Replica): number {
    const { configurations, bytesMax } = this.options;
    return configurations().at(descriptor.startKey).splitBytes ?? bytesMax;
  }

  /** For people. */
  private reasonOf(replica: Replica, why: string): string {
    const { load, requestsPerSecondMax } = this.options;
    if (why === 'size')
      return `it holds ${Math.round(replica.storedBytes)} bytes, more than ${this.bytesMaxOf(replica)}`;
    if (why === 'load') {
      const rate = Math.round(load.steadyRate(replica.rangeId));
      return `it is asked ${rate} times a second, more than ${requestsPerSecondMax}`;
    }
    return 'something else is wanted from there on';
  }

  private async cutBySize(replica: Replica): Promise<void> {
    const { startKey } = replica.descriptor;
    const span = divisible(replica.descriptor);
    const measured = await measure(this.options.engine, replica.space, span);
    if (replica.isRemoved || replica.descriptor.startKey !== startKey) return;
    // What was counted drifts: a split only guesses how much goes to which side.
    replica.onMeasured(measured);
    if (replica.storedBytes > this.bytesMaxOf(replica))
      await this.cut(replica, measured.middle, 'size');
  }

  private async cut(replica: Replica, at: Uint8Array | undefined, why: string): Promise<void> {
    const { rangeId, descriptor } = replica;
    const key = splitKeyNear(at, descriptor);
    this.resting.set(rangeId, this.window + restWindows);
    if (key === undefined) {
      if (why === 'size') this.resting.set(rangeId, this.window + restOfOneRowWindows);
      return;
    }
    const result = await this.options.split(replica, key, this.reasonOf(replica, why));
    this.options.logger.info({ rangeId, why, result: result.kind }, 'range_split_wanted');
    // Whether it has to be cut there is known without reading it.
    if (result.kind === 'notNow' && why === 'configuration') this.resting.delete(rangeId);
    if (result.kind !== 'done') return;
    this.cuts++;
    if (why === 'size') probe('splitBySize');
    else if (why === 'load') probe('splitByLoad');
    // Each half may still be too large, or under two wishes; the load of the halves is not known yet.
    if (why !== 'load') this.resting.delete(rangeId);
    else this.resting.set(result.right.rangeId, this.window + restWindows);
  }
}

/** The key itself; or the greatest one before it that is short enough, if the range does not begin there. */
function splitKeyNear(
  key: Uint8Array | undefined,
  { startKey }: RangeDescriptor,
): Uint8Array | undefined {
  const near = key?.subarray(0, splitKeyBytesMax);
  return near !== undefined && compareBytes(near, startKey) > 0 ? near : undefined;
}

/** The part of a range that may be cut: all but the root of the meta index. */
function divisible(range: RangeDescriptor): RangeDescriptor {
  const isRoot = compareBytes(range.startKey, rootEndKey) < 0;
  return isRoot ? { ...range, startKey: rootEndKey } : range;
}
