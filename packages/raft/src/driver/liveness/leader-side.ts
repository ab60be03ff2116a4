/**
 * This store as a leader, towards one other store: says what it leads there, once per interval for all groups, and keeps
 * what the other store says it supports. An answer counts from the time at which its heartbeat was sent (rule L1).
 * Called by `store-liveness.ts`; touches no group itself, reads no clock.
 */
import type { RangeId } from '@flotilla/base';
import type { Leadership, StoreHeartbeat, StoreHeartbeatResponse } from '../../store-messages.ts';
import { HeldSet, KeptSet } from './versioned-set.ts';

/** What one life of the other store has answered. Replaced as a whole when it starts again, and then frozen. */
export class AnswerSession {
  readonly incarnation: number;
  readonly supported: HeldSet = new HeldSet();
  /** The newest own send time that it answered, and when that answer came. Holds for everything in `supported`. */
  ackedSentAtMs: number = Number.NEGATIVE_INFINITY;
  answeredAtMs: number = Number.NEGATIVE_INFINITY;

  constructor(incarnation: number) {
    this.incarnation = incarnation;
  }
}

export interface LeaderSideOptions {
  readonly incarnation: number;
  /** As \`WriteAheadLog.durableBatch\`. */
  readonly durableBatch: () => number;
  readonly heartbeatIntervalMs: number;
  readonly electionTimeoutMs: number;
  readonly changesPerMessageMax: number;
  readonly send: (message: StoreHeartbeat) => void;
  /** The other store's word on this group is about to change: now is the last moment to use what it said so far. */
  readonly beforeChange: (rangeId: RangeId) => void;
  /** The group's coverage may be another now. */
  readonly reconsider: (rangeId: RangeId) => void;
}

export class LeaderSide {
  private readonly options: LeaderSideOptions;
  private readonly leads = new KeptSet();
  private answers: AnswerSession | undefined;
  private nextBeatMs = Number.POSITIVE_INFINITY;
  /** The last answer, or when the first heartbeat without one was due. */
  private waitingSinceMs = 0;
  private silent = false;

  constructor(options: LeaderSideOptions) {
    this.options = options;
  }

  get session(): AnswerSession | undefined {
    return this.answers;
  }
  /** The other store has not answered for E: it is taken for dead until it does. */
  get isSilent(): boolean {
    return this.silent;
  }
  get ledCount(): number {
    return this.leads.size;
  }
  /** When `onDue` has something to do next. */
  get deadline(): number {
    if (this.silent) return this.nextBeatMs;
    return Math.min(this.nextBeatMs, this.silenceDueMs());
  }

  add(item: Leadership, now: number): void {
    this.leads.set(item);
    if (this.nextBeatMs !== Number.POSITIVE_INFINITY) return;
    this.nextBeatMs = now + this.options.heartbeatIntervalMs;
    this.waitingSinceMs = now;
  }

  remove(rangeId: RangeId): void {
    this.leads.delete(rangeId);
  }

  onDue(now: number): void {
    if (!this.silent && now >= this.silenceDueMs()) {
      this.silent = true;
      this.reconsiderAll();
    }
    if (now >= this.nextBeatMs) this.beat(now);
  }

  onAnswer(message: StoreHeartbeatResponse, now: number): void {
    if (message.toIncarnation !== this.options.incarnation) return; // to an earlier life of this store
    if (message.sentAtMs > now) return; // never sent
    const before = this.answers;
    if (before !== undefined && message.incarnation < before.incarnation) return;
    let session = before;
    if (session === undefined || message.incarnation > session.incarnation) {
      session = new AnswerSession(message.incarnation);
      this.answers = session;
      if (before !== undefined) {
        this.leads.forgetAcknowledgement();
        this.reconsiderAll();
      }
    }
    const progress = this.leads.acknowledge(message.heldVersion);
    const { beforeChange, reconsider } = this.options;
    const applied = session.supported.apply(message.delta, (rangeId) => {
      beforeChange(rangeId);
      reconsider(rangeId);
    });
    if (applied && message.delta.complete && message.sentAtMs > session.ackedSentAtMs) {
      session.ackedSentAtMs = message.sentAtMs;
      session.answeredAtMs = now;
    } else if (!progress) {
      return; // a copy, or overtaken
    }
    this.waitingSinceMs = now;
    if (!this.silent) return;
    this.silent = false;
    this.reconsiderAll();
  }

  private silenceDueMs(): number {
    if (this.nextBeatMs === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
    return this.waitingSinceMs + this.options.electionTimeoutMs;
  }

  private beat(now: number): void {
    const { incarnation, heartbeatIntervalMs, changesPerMessageMax, durableBatch, send } =
      this.options;
    // A store that led nothing and was told so, or cannot be told, is not spoken to.
    if (this.leads.size === 0 && (this.leads.isAcknowledged || this.silent)) {
      this.nextBeatMs = Number.POSITIVE_INFINITY;
      this.silent = false;
      return;
    }
    this.nextBeatMs = now + heartbeatIntervalMs;
    const deltas = this.leads.deltas(changesPerMessageMax);
    // To a store that does not answer one part of a large change is enough: it is asked whether it is there.
    for (const delta of this.silent ? deltas.slice(0, 1) : deltas)
      send({
        kind: 'storeHeartbeat',
        incarnation,
        toIncarnation: this.answers?.incarnation ?? 0,
        sentAtMs: now,
        logBatch: durableBatch(),
        delta,
        heldVersion: this.answers?.supported.version ?? 0,
      });
  }

  private reconsiderAll(): void {
    for (const rangeId of this.leads.rangeIds()) this.options.reconsider(rangeId);
  }
}
