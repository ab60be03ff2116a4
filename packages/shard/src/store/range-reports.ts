/**
 * Keeps the meta index in step with the ranges: each leaseholder tells the stores of the meta range what it leads, when
 * that changes and now and then; the meta range's leaseholder writes what is newer than its rows. Lost reports are
 * repeated, so nothing here is awaited or retried.
 */
import { asBuffer, type Clock, metaPrefix, type Prng, type Timer } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import { kv } from '../protocol/index.ts';
import { checkDescriptor } from '../range-descriptor.ts';
import { newestStored } from '../replica/evaluation.ts';
import { overlayKey } from '../replica/overlay.ts';
import type { Replica } from '../replica/replica.ts';
import { storedPayload } from '../state/stored-value.ts';

type RangeInfo = flotilla.kv.RangeInfo.$Properties;

/** Key of the row of the range that ends at `endKey`. */
export function metaKey(endKey: Uint8Array): Buffer {
  return Buffer.concat([metaPrefix, endKey]);
}

/** True if `said` should replace `known`: newer bounds, or a leaseholder of a newer term. */
export function isNewer(said: RangeInfo, known: RangeInfo): boolean {
  const generation = (said.descriptor?.generation ?? 0) - (known.descriptor?.generation ?? 0);
  return generation > 0 || (generation === 0 && (said.term ?? 0) > (known.term ?? 0));
}

/** Writes what is newer than the meta range's rows. Does nothing unless `meta` leads. */
export function absorbReport(meta: Replica, ranges: readonly RangeInfo[]): void {
  const { leaseholder } = meta;
  if (leaseholder === undefined || !leaseholder.isReady) return;
  for (const said of ranges) {
    const checked = checkDescriptor(said.descriptor ?? {});
    if (!checked.ok || !Number.isSafeInteger(said.term)) continue;
    const key = metaKey(checked.descriptor.endKey);
    const stored = newestStored(leaseholder.view(), overlayKey(key), key);
    if (stored !== undefined) {
      const known = kv.RangeInfo.decode(storedPayload(asBuffer(stored)));
      if (!isNewer(said, known)) continue;
    }
    leaseholder.internalWrite({
      mutations: [{ key, value: kv.RangeInfo.encode(said).finish(), isDelete: false }],
    });
  }
}

export interface RangeReporterOptions {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly replicas: ReadonlyMap<number, Replica>;
  readonly rangesPerReport: number;
  readonly send: (ranges: RangeInfo[]) => void;
}

/** Unit: ms. After a change, reports are repeated soon a few times: the meta range may be electing too. */
const soonMs = 50;
const repeatMs = 1000;
const repeats = 5;
const calmMs = 10_000;

export class RangeReporter {
  private readonly options: RangeReporterOptions;
  private timer: Timer | undefined;
  private repeatsLeft = repeats;
  private changeIsDue = false;
  private stopped = false;

  constructor(options: RangeReporterOptions) {
    this.options = options;
  }

  start(): void {
    this.schedule(soonMs);
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  /** What this store leads changed. */
  onChange(): void {
    this.repeatsLeft = repeats;
    if (this.changeIsDue) return;
    this.changeIsDue = true;
    this.schedule(soonMs);
  }

  private schedule(delayMs: number): void {
    if (this.stopped) return;
    this.timer?.cancel();
    this.timer = this.options.clock.setTimer(delayMs, () => this.report());
  }

  private report(): void {
    const { replicas, rangesPerReport, prng } = this.options;
    this.changeIsDue = false;
    let ranges: RangeInfo[] = [];
    for (const replica of replicas.values()) {
      if (replica.leaseholder?.isReady !== true) continue;
      ranges.push(replica.info());
      if (ranges.length < rangesPerReport) continue;
      this.options.send(ranges);
      ranges = [];
    }
    if (ranges.length > 0) this.options.send(ranges);
    const base = this.repeatsLeft > 0 ? repeatMs : calmMs;
    this.repeatsLeft = Math.max(0, this.repeatsLeft - 1);
    this.schedule(base * (0.8 + 0.4 * prng.nextFloat()));
  }
}
