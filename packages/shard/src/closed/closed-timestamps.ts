/** Both sides of a store's closed timestamps: what it closes where it leads, and what it has heard where it follows. */
import type { HybridLogicalClock, StoreId } from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';
import type { Replica } from '../replica/replica.ts';
import type { StoreContext } from '../store/context.ts';
import { Closing } from './closing.ts';
import { HeardClosed } from './heard-closed.ts';

type Request = flotilla.kv.Request.$Properties;

export class ClosedTimestamps {
  private readonly context: StoreContext;
  private readonly hlc: HybridLogicalClock;
  private readonly closing: Closing;
  private readonly heard: HeardClosed;

  constructor(context: StoreContext) {
    this.context = context;
    const { hlc, storeId, replicas, limits, options, fail } = context;
    this.hlc = hlc;
    this.heard = new HeardClosed(hlc);
    this.closing = new Closing({
      clock: options.clock,
      hlc,
      storeId,
      replicas,
      incarnation: context.identity().incarnation,
      lagMs: limits.closedTimestampLagMs,
      intervalMs: limits.closedTimestampIntervalMs,
      changesPerMessage: limits.closedChangesPerMessage,
      send: (to, closedTimestamps) => this.tell(to, { closedTimestamps }),
      onFatal: fail,
    });
  }

  start(): void {
    this.closing.start();
  }

  stop(): void {
    this.closing.stop();
  }

  /** Another store speaks. @returns false: not of this */
  onPeerRequest(from: StoreId, request: Request): boolean {
    const { closedTimestamps, closedTimestampsMissed: missed } = request;
    if (missed) this.closing.onMissed(from, missed.incarnation ?? 0);
    if (!closedTimestamps) return Boolean(missed);
    const incarnation = closedTimestamps.incarnation ?? 0;
    if (this.heard.receive(from, closedTimestamps) === 'missed')
      this.tell(from, { closedTimestampsMissed: { incarnation } });
    return true;
  }

  /** Up to which timestamp the replica can serve snapshots by itself; 0 = not known. */
  closedAt({ rangeId, visibleIndex }: Replica): number {
    return this.heard.closedAt(rangeId, visibleIndex);
  }

  /** How far the last of the replicas that follow is behind this store's clock. Those that know nothing are counted. */
  lag(): { readonly spanMax: number; readonly unknown: number } {
    const now = this.hlc.peek();
    let spanMax = 0;
    let unknown = 0;
    for (const replica of this.context.replicas.values()) {
      if (replica.leaseholder !== undefined) continue;
      const closed = this.closedAt(replica);
      if (closed === 0) unknown++;
      else spanMax = Math.max(spanMax, now - closed);
    }
    return { spanMax, unknown };
  }

  private tell(to: StoreId, body: Request): void {
    const bytes = flotilla.kv.Request.encode({ requestId: 0, ...body }).finish();
    this.context.outbox.enqueue({ kind: 'store', storeId: to, channel: 'kv' }, bytes);
  }
}
