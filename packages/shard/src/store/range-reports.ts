/**
 * Keeps the meta index in step with the ranges: each leaseholder tells the stores of the first range what it leads, when
 * that changes, and all of it slice by slice; whoever leads the part of the index with a row writes what is newer than the
 * row, and the first range's leaseholder sends on what is for parts that its store does not lead (`meta-link.ts`). Lost reports
 * are repeated, so nothing here is awaited or retried. A store that rests has next to nothing to do here.
 */
import {
  asBuffer,
  type Clock,
  type Prng,
  type Span,
  spanContains,
  type Timer,
} from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import { kv } from '../protocol/index.ts';
import { checkDescriptor } from '../range-descriptor.ts';
import { newestStored } from '../replica/evaluation.ts';
import { overlayKey } from '../replica/overlay.ts';
import type { Replica } from '../replica/replica.ts';
import { storedPayload } from '../state/stored-value.ts';
import { decodeIndexRow, isPartOfIndex, type MetaIndex, metaKey } from './meta-index.ts';

type RangeInfo = flotilla.kv.RangeInfo.$Properties;

/** True if `said` should replace `known`: newer bounds, or a leaseholder of a newer term. */
export function isNewer(said: RangeInfo, known: RangeInfo): boolean {
  const generation = (said.descriptor?.generation ?? 0) - (known.descriptor?.generation ?? 0);
  return generation > 0 || (generation === 0 && (said.term ?? 0) > (known.term ?? 0));
}

export interface Absorbed {
  /** Belongs to a part that is not led here. */
  readonly elsewhere: readonly RangeInfo[];
  /** Belongs to a part that is led here and takes no writes just now. */
  readonly unwritten: readonly RangeInfo[];
}

/** Writes what is newer than the rows, in the parts of the index that are led here. */
export function absorbReport(index: MetaIndex, ranges: readonly RangeInfo[]): Absorbed {
  const elsewhere: RangeInfo[] = [];
  const unwritten: RangeInfo[] = [];
  const parts = index.parts();
  for (const said of ranges) {
    const checked = checkDescriptor(said.descriptor ?? {});
    if (!checked.ok || !Number.isSafeInteger(said.term)) continue;
    const key = metaKey(checked.descriptor.endKey);
    const leaseholder = index.partWith(parts, key)?.leaseholder;
    if (leaseholder === undefined) {
      // A follower here is no help: its leaseholder may have no replica of the first range, and hears of nobody else.
      elsewhere.push(said);
      continue;
    }
    if (!leaseholder.isReady) {
      unwritten.push(said);
      continue;
    }
    const stored = newestStored(leaseholder.view(), overlayKey(key), key);
    // What is no row of a range is put right.
    const known =
      stored === undefined ? undefined : decodeIndexRow(storedPayload(asBuffer(stored)));
    if (known !== undefined && !isNewer(said, known)) continue;
    const value = kv.RangeInfo.encode(said).finish();
    if (!leaseholder.internalWrite({ mutations: [{ key, value, isDelete: false }] }))
      unwritten.push(said);
  }
  return { elsewhere, unwritten };
}

export interface RangeReporterOptions {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly replicas: ReadonlyMap<number, Replica>;
  readonly rangesPerReport: number;
  readonly send: (ranges: RangeInfo[]) => void;
}

/** Unit: ms. News is told soon and then a few times more: the meta range may be electing too. */
const soonMs = 50;
const repeatMs = 1000;
const repeats = 5;
const repeatsOnRequest = 2;
/** What is no news is told again in slices, for the case that every report of it was lost. */
const calmMs = 10_000;
const calmRanges = 64;

/** What was told of a range last, and how often it is still to be told. */
interface Told {
  readonly term: number;
  readonly generation: number;
  left: number;
}

export class RangeReporter {
  private readonly options: RangeReporterOptions;
  private readonly told = new Map<number, Told>();
  private timer: Timer | undefined;
  private changeIsDue = false;
  /** Nothing is news: the next report is a slice of everything. */
  private calm = false;
  /** By part of the index: the newest term of whose leaseholder was heard. */
  private readonly indexTerms = new Map<number, number>();
  /** The slice of the calm: how many replicas it has been round. */
  private calmAt = 0;
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

  /** What this store leads changed, or may have. */
  onChange(): void {
    if (this.changeIsDue) return;
    this.changeIsDue = true;
    this.calm = false;
    this.schedule(soonMs);
  }

  /** Other stores, or this one, lead these. Whoever has come to lead a part of the index may have missed what it is to hold. */
  onReport(ranges: readonly RangeInfo[]): void {
    let isNews = false;
    for (const { descriptor, term = 0 } of ranges) {
      const checked = checkDescriptor(descriptor ?? {});
      if (!checked.ok || !isPartOfIndex(checked.descriptor) || typeof term !== 'number') continue;
      const { rangeId } = checked.descriptor;
      if (term <= (this.indexTerms.get(rangeId) ?? 0)) continue;
      this.indexTerms.set(rangeId, term);
      isNews = this.retell(checked.descriptor) || isNews;
    }
    if (isNews) this.onChange();
  }

  /** @returns whether anything that is led here has its row there */
  private retell(part: Span): boolean {
    let any = false;
    for (const { leaseholder, rangeId, descriptor } of this.options.replicas.values()) {
      const told = this.told.get(rangeId);
      if (leaseholder === undefined || told === undefined) continue;
      if (!spanContains(part, metaKey(descriptor.endKey))) continue;
      told.left = Math.max(told.left, repeatsOnRequest);
      any = true;
    }
    return any;
  }

  private schedule(delayMs: number): void {
    if (this.stopped) return;
    this.timer?.cancel();
    this.timer = this.options.clock.setTimer(delayMs, () => this.report());
  }

  private report(): void {
    const { prng } = this.options;
    this.changeIsDue = false;
    const { ranges, more } = this.news();
    if (this.calm && ranges.length === 0) ranges.push(...this.calmSlice());
    this.onReport(ranges);
    const { rangesPerReport } = this.options;
    for (let at = 0; at < ranges.length; at += rangesPerReport)
      this.options.send(ranges.slice(at, at + rangesPerReport));
    this.calm = !more;
    this.schedule((more ? repeatMs : calmMs) * (0.8 + 0.4 * prng.nextFloat()));
  }

  /** Led ranges of which something has not been told often enough; `more`: not even after this time. */
  private news(): { ranges: RangeInfo[]; more: boolean } {
    const ranges: RangeInfo[] = [];
    let more = false;
    for (const replica of this.options.replicas.values()) {
      const { leaseholder, rangeId, term } = replica;
      if (leaseholder === undefined) continue;
      if (!leaseholder.isReady) {
        more = true;
        continue;
      }
      const { generation } = replica.descriptor;
      let told = this.told.get(rangeId);
      if (told?.term !== term || told.generation !== generation) {
        told = { term, generation, left: repeats };
        this.told.set(rangeId, told);
      }
      if (told.left === 0) continue;
      told.left--;
      if (told.left > 0) more = true;
      ranges.push(replica.info());
    }
    return { ranges, more };
  }

  private calmSlice(): RangeInfo[] {
    const led = [...this.options.replicas.values()].filter(
      ({ leaseholder }) => leaseholder?.isReady === true,
    );
    if (this.calmAt >= led.length) this.calmAt = 0;
    const slice = led.slice(this.calmAt, this.calmAt + calmRanges);
    this.calmAt += slice.length;
    return slice.map((replica) => replica.info());
  }
}
