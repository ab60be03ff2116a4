/**
 * The store's side of the meta range: what it leads is told to the stores that hold it, what others tell is written if
 * it is led here, and where it lives is known although it may move.
 */
import type { StoreId } from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';
import { metaRangeId } from '../initial-ranges.ts';
import { checkDescriptor, type RangeDescriptor } from '../range-descriptor.ts';
import { grantRangeIds, RangeIds } from '../split/range-ids.ts';
import type { StoreContext } from './context.ts';
import { absorbReport } from './range-reports.ts';

type RangeInfo = flotilla.kv.RangeInfo.$Properties;

export class MetaLink {
  private readonly context: StoreContext;

  readonly rangeIds: RangeIds;

  constructor(context: StoreContext) {
    this.context = context;
    const { clock } = context.options;
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
    // Stores that hold no replica of the meta range would look for it where it was founded.
    const meta = ranges.find((info) => info.descriptor?.rangeId === metaRangeId);
    if (meta !== undefined && (meta.descriptor?.generation ?? 0) > 1)
      outbox.enqueue({ kind: 'all-stores' }, encode([meta]));
  }

  /** Somebody leads these ranges: if the meta range is led here, its rows follow. */
  absorb(ranges: readonly RangeInfo[]): void {
    const { replicas, isStopping, fail } = this.context;
    if (isStopping()) return;
    const meta = replicas.get(metaRangeId);
    try {
      if (meta !== undefined) absorbReport(meta, ranges);
      else
        for (const { descriptor } of ranges)
          if (descriptor?.rangeId === metaRangeId) this.learn(descriptor);
    } catch (error) {
      fail(error);
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
    const { storeId, outbox, replicas, options } = this.context;
    const meta = replicas.get(metaRangeId);
    if (meta === undefined) return;
    grantRangeIds(meta, options.clock.nowMs(), (first, count) => {
      if (to === storeId) this.rangeIds.onGrant(first, count);
      else {
        const grant = { requestId: 0, rangeIdsGrant: { first, count } };
        outbox.enqueue(
          { kind: 'store', storeId: to, channel: 'kv' },
          flotilla.kv.Request.encode(grant).finish(),
        );
      }
    });
  }

  private learn(said: flotilla.kv.RangeDescriptor.$Properties): void {
    const { identity, saveIdentity, fail } = this.context;
    const checked = checkDescriptor(said);
    const known = identity().metaDescriptor?.generation ?? 0;
    if (!checked.ok || checked.descriptor.generation <= known) return;
    saveIdentity({ metaDescriptor: checked.descriptor }).catch(fail);
  }
}

function encode(ranges: RangeInfo[]): Uint8Array {
  return flotilla.kv.Request.encode({ requestId: 0, rangeReport: { ranges } }).finish();
}
