/**
 * This store as a follower, towards one other store: keeps what that store says it leads, and says which of it this
 * store's replicas follow. What it says in an answer is a promise of each of these replicas, as of the receipt of the
 * heartbeat (rule L2), so a group leaves the set at the moment at which it follows no more.
 * Called by `store-liveness.ts`; touches no group itself, reads no clock.
 */
import type { RangeId } from '@flotilla/base';
import type { StoreHeartbeat, StoreHeartbeatResponse } from '../../store-messages.ts';
import { HeldSet, KeptSet } from './versioned-set.ts';

/** One life of the other store as it was heard here. Replaced as a whole when it starts again, and then frozen. */
export class HeartbeatSession {
  readonly incarnation: number;
  readonly led: HeldSet = new HeldSet();
  readonly supported: KeptSet = new KeptSet();
  /** The newest send time that arrived, by the other store's clock; and when, by this store's. */
  sentAtMs = 0;
  heardAtMs: number = Number.NEGATIVE_INFINITY;
  /** Nothing was heard for E: its groups count their own silence. */
  isSilent = false;

  constructor(incarnation: number) {
    this.incarnation = incarnation;
  }
}

export interface FollowerSideOptions {
  readonly incarnation: number;
  /** As \`WriteAheadLog.durableBatch\`. */
  readonly durableBatch: () => number;
  readonly electionTimeoutMs: number;
  readonly changesPerMessageMax: number;
  readonly send: (message: StoreHeartbeatResponse) => void;
  /** The other store leads this group no more, or in another term: support for it ends now. */
  readonly endSupport: (rangeId: RangeId, session: HeartbeatSession) => void;
  /** The group may be one to support now, or its timer is its own again. */
  readonly reconsider: (rangeId: RangeId) => void;
}

export class FollowerSide {
  private readonly options: FollowerSideOptions;
  private heard: HeartbeatSession | undefined;

  constructor(options: FollowerSideOptions) {
    this.options = options;
  }

  get session(): HeartbeatSession | undefined {
    return this.heard;
  }
  /** When `onDue` has something to do next. */
  get deadline(): number {
    const { heard } = this;
    if (heard === undefined || heard.isSilent || heard.supported.size === 0)
      return Number.POSITIVE_INFINITY;
    return heard.heardAtMs + this.options.electionTimeoutMs;
  }

  onDue(now: number): void {
    if (this.heard === undefined || now < this.deadline) return;
    this.heard.isSilent = true;
    this.reconsiderSupported(this.heard);
  }

  /** Every group of this store that the other store's earlier messages have changed has been looked at. */
  onHeartbeat(message: StoreHeartbeat, now: number): void {
    const before = this.heard;
    if (before !== undefined && message.incarnation < before.incarnation) return;
    let session = before;
    if (session === undefined || message.incarnation > session.incarnation) {
      session = new HeartbeatSession(message.incarnation);
      this.heard = session;
      if (before !== undefined) this.reconsiderSupported(before);
    }
    if (message.toIncarnation === this.options.incarnation)
      session.supported.acknowledge(message.heldVersion);
    const { endSupport, reconsider } = this.options;
    const held = session;
    const applied = held.led.apply(message.delta, (rangeId) => {
      endSupport(rangeId, held);
      reconsider(rangeId);
    });
    if (applied && message.delta.complete && message.sentAtMs > session.sentAtMs) {
      session.sentAtMs = message.sentAtMs;
      session.heardAtMs = now;
      session.isSilent = false;
      this.answer(session);
      return;
    }
    // Not a heartbeat: a part of a large change, or the other store knows an earlier life of this one, which held more.
    // The answer says what is held here, so that the next one fits; it promises nothing new.
    if (!message.delta.complete || session.led.version < message.delta.base) this.answer(session);
  }

  private answer(session: HeartbeatSession): void {
    const { incarnation, changesPerMessageMax, durableBatch, send } = this.options;
    for (const delta of session.supported.deltas(changesPerMessageMax))
      send({
        kind: 'storeHeartbeatResponse',
        incarnation,
        toIncarnation: session.incarnation,
        sentAtMs: session.sentAtMs,
        logBatch: durableBatch(),
        delta,
        heldVersion: session.led.version,
      });
  }

  private reconsiderSupported(session: HeartbeatSession): void {
    for (const rangeId of session.supported.rangeIds()) this.options.reconsider(rangeId);
  }
}
