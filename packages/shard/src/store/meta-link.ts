/**
 * The store's side of the meta index: what it leads is told to the stores of the first range, what others tell is written
 * where the row is led here or sent on to where it is, and where the first range lives is known although it may move.
 */
import { probe, type StoreId, spanContains, type Timer } from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';
import { metaRangeId } from '../initial-ranges.ts';
import { type DatedEvent, EventPost } from '../placement/event-post.ts';
import { RangeFigures } from '../placement/range-figures.ts';
import { checkDescriptor, type RangeDescriptor } from '../range-descriptor.ts';
import { grantRangeIds, RangeIds } from '../split/range-ids.ts';
import type { StoreContext } from './context.ts';
import { isPartOfIndex, MetaIndex, metaKey } from './meta-index.ts';
import { absorbReport } from './range-reports.ts';

type RangeInfo = flotilla.kv.RangeInfo.$Properties;

const figuresPerMessage = 4096;
const unwrittenRetryMs = 100;

export class MetaLink {
  private readonly context: StoreContext;
  /** By range: what was said last. */
  private readonly unwritten = new Map<number, RangeInfo>();
  private writing: Timer | undefined;

  readonly rangeIds: RangeIds;
  readonly index: MetaIndex;
  /** Of ranges of all stores, where the first range is here. */
  readonly figures: RangeFigures;
  /** What happened here, and where the first range is here, elsewhere. */
  readonly events: EventPost;

  constructor(context: StoreContext) {
    this.context = context;
    const { clock } = context.options;
    this.index = new MetaIndex(context);
    this.figures = new RangeFigures(clock);
    this.events = new EventPost(clock);
    this.rangeIds = new RangeIds({ clock, ask: () => this.askRangeIds() });
  }

  /** Where ranges are looked up, as far as this store knows. */
  descriptor(): RangeDescriptor | undefined {
    const { replicas, identity } = this.context;
    return replicas.get(metaRangeId)?.descriptor ?? identity().metaDescriptor;
  }

  /** This store leads `ranges`. */
  report(ranges: RangeInfo[]): void {
    const { storeId, outbox } = this.context;
    const report = encode(ranges);
    for (const member of this.descriptor()?.replicas ?? []) {
      if (member.storeId === storeId) this.absorb(ranges);
      else outbox.enqueue({ kind: 'store', storeId: member.storeId, channel: 'kv' }, report);
    }
    // Stores that hold no replica of the first range would look for it where it was founded; and whoever leads a part of the
    // index has to hear from all of them.
    const parts = ranges.filter(({ descriptor }) => {
      const checked = checkDescriptor(descriptor ?? {});
      return checked.ok && isPartOfIndex(checked.descriptor);
    });
    if (parts.length > 0) outbox.enqueue({ kind: 'all-stores' }, encode(parts));
  }

  /** So much hold, and are asked, the ranges that this store leads; and this happened here. */
  tellFigures(
    figures: readonly flotilla.kv.RangeFigures.$Properties[],
    events: readonly DatedEvent[],
  ): void {
    const { storeId, outbox } = this.context;
    const told = [...events];
    for (let at = 0; at < figures.length || at === 0; at += figuresPerMessage) {
      const slice = figures.slice(at, at + figuresPerMessage);
      const news = told.splice(0);
      const request = { requestId: 0, rangeReport: { figures: slice, events: news } };
      const bytes = flotilla.kv.Request.encode(request).finish();
      for (const member of this.descriptor()?.replicas ?? []) {
        if (member.storeId === storeId) this.takeFigures({ figures: slice, events: news });
        else outbox.enqueue({ kind: 'store', storeId: member.storeId, channel: 'kv' }, bytes);
      }
    }
  }

  /** A leaseholder says what its ranges hold and are asked, and what happened. */
  takeFigures({ figures, events }: flotilla.kv.RangeReport.$Properties): void {
    this.figures.take(figures ?? []);
    this.events.take(events ?? []);
  }

  /** Somebody leads these ranges: where their rows are led here, the rows follow. @param forwarded not to be sent on */
  absorb(ranges: readonly RangeInfo[], forwarded = false): void {
    const { isStopping, fail } = this.context;
    if (isStopping()) return;
    try {
      const { first } = this.index;
      if (first === undefined)
        for (const { descriptor } of ranges)
          if (descriptor?.rangeId === metaRangeId) this.learn(descriptor);
      const { elsewhere, unwritten } = absorbReport(this.index, ranges);
      for (const said of unwritten) this.unwritten.set(said.descriptor?.rangeId ?? 0, said);
      if (this.unwritten.size > 0) this.writeLater();
      if (elsewhere.length > 0 && !forwarded && first?.leaseholder?.isReady === true)
        this.sendOn(elsewhere).catch(fail);
    } catch (error) {
      fail(error);
    }
  }

  /** The part of the index is led here and took no writes: its leaseholder is new, or the range is being cut. */
  private writeLater(): void {
    const { clock } = this.context.options;
    this.writing ??= clock.setTimer(unwrittenRetryMs, () => {
      this.writing = undefined;
      const ranges = [...this.unwritten.values()];
      this.unwritten.clear();
      this.absorb(ranges, true);
    });
  }

  /** To the stores that have the rows of these ranges. */
  private async sendOn(ranges: readonly RangeInfo[]): Promise<void> {
    const { storeId, outbox, isStopping } = this.context;
    const byPart = new Map<number, { readonly part: RangeDescriptor; ranges: RangeInfo[] }>();
    let last: RangeDescriptor | undefined;
    for (const said of ranges) {
      const row = metaKey(said.descriptor?.endKey ?? new Uint8Array(0));
      const part: RangeDescriptor | undefined =
        last !== undefined && spanContains(last, row) ? last : await this.index.rangeWith(row);
      last = part;
      if (part === undefined || !spanContains(part, row)) continue;
      const known = byPart.get(part.rangeId);
      if (known === undefined) byPart.set(part.rangeId, { part, ranges: [said] });
      else known.ranges.push(said);
    }
    if (isStopping()) return;
    for (const { part, ranges: its } of byPart.values()) {
      probe('rangeReportSentOn');
      const report = encode(its, true);
      for (const member of part.replicas)
        if (member.storeId !== storeId)
          outbox.enqueue({ kind: 'store', storeId: member.storeId, channel: 'kv' }, report);
    }
  }

  /** Asks for ids of new ranges whoever may lead the range that counts them. */
  askRangeIds(): void {
    const { storeId, outbox } = this.context;
    const request = flotilla.kv.Request.encode({ requestId: 0, rangeIdsRequest: {} }).finish();
    for (const member of this.descriptor()?.replicas ?? []) {
      if (member.storeId === storeId) this.grantRangeIds(storeId);
      else outbox.enqueue({ kind: 'store', storeId: member.storeId, channel: 'kv' }, request);
    }
  }

  /** A store needs ids of new ranges: it gets some if the range that counts them is led here. */
  grantRangeIds(to: StoreId): void {
    const { storeId, outbox, replicas, options, fail } = this.context;
    const meta = replicas.get(metaRangeId);
    if (meta === undefined) return;
    const granted = (first: number, count: number): void => {
      if (to === storeId) this.rangeIds.onGrant(first, count);
      else {
        const grant = { requestId: 0, rangeIdsGrant: { first, count } };
        outbox.enqueue(
          { kind: 'store', storeId: to, channel: 'kv' },
          flotilla.kv.Request.encode(grant).finish(),
        );
      }
    };
    try {
      grantRangeIds(meta, options.clock.nowMs(), granted);
    } catch (error) {
      fail(error);
    }
  }

  private learn(said: flotilla.kv.RangeDescriptor.$Properties): void {
    const { identity, saveIdentity, fail } = this.context;
    const checked = checkDescriptor(said);
    const known = identity().metaDescriptor?.generation ?? 0;
    if (!checked.ok || checked.descriptor.generation <= known) return;
    saveIdentity({ metaDescriptor: checked.descriptor }).catch(fail);
  }
}

function encode(ranges: RangeInfo[], forwarded = false): Uint8Array {
  const rangeReport = { ranges, forwarded };
  return flotilla.kv.Request.encode({ requestId: 0, rangeReport }).finish();
}
