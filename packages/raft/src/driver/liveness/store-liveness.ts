/**
 * Store liveness: heartbeats per pair of stores instead of per group. This folder's `README.md` says why it is safe.
 * This file is the room's door: it brings what stores said to the groups at the moments at which it matters, and takes
 * care that no turn walks over all of them. Called by the loop, in this order within a turn: `sync` before each message
 * and tick of a group; `review` for each group that anything happened to; only then `turn`, because an answer to a
 * heartbeat speaks for all groups as they are at that moment; `arm` at the end.
 */
import type { RangeId, StoreId } from '@flotilla/base';
import type { HeardLog, StoreMessage } from '../../store-messages.ts';
import type { DriverShell } from '../driver-options.ts';
import type { Group } from '../group.ts';
import { Timekeeper } from '../timekeeper.ts';
import { FollowerSide } from './follower-side.ts';
import { Following } from './following.ts';
import { LeaderSide } from './leader-side.ts';
import { Leading } from './leading.ts';
import { PeerStore } from './peer-store.ts';

export interface StoreLivenessOptions {
  readonly shell: DriverShell;
  readonly groupOf: (rangeId: RangeId) => Group | undefined;
  /** False while nothing may leave this store (rule L8). */
  readonly maySend: () => boolean;
  /** A timer was late. */
  readonly onLate: (lateMs: number) => void;
}

export class StoreLiveness {
  private readonly options: StoreLivenessOptions;
  private readonly shell: DriverShell;
  private readonly peers = new Map<StoreId, PeerStore>();
  private readonly time: Timekeeper<PeerStore>;
  private readonly leading: Leading;
  private readonly following: Following;
  private inbox: { readonly from: StoreId; readonly message: StoreMessage }[] = [];
  /** Groups to be looked at again, some per turn. */
  private waiting: Group[] = [];
  private waitingFrom = 0;

  constructor(options: StoreLivenessOptions) {
    const { shell } = options;
    this.options = options;
    this.shell = shell;
    this.time = new Timekeeper(shell, options.onLate);
    this.leading = new Leading({
      storeId: shell.options.storeId,
      sideOf: (storeId) => this.peer(storeId).leader,
    });
    this.following = new Following({
      sideOf: (group, replicaId) => {
        const storeId = group.storeOfReplica(replicaId);
        return storeId === undefined ? undefined : this.peers.get(storeId)?.follower;
      },
    });
  }

  /** The core learns what stores have said so far about this group. O(members). */
  sync(group: Group): void {
    if (group.followed !== undefined) this.following.sync(group);
    else if (group.led.length > 0) this.leading.sync(group);
  }

  /** After anything that may have changed role, leader, term or members. True if the core may have more to say. */
  review(group: Group, now: number): boolean {
    if (group.softState?.role === 'leader') {
      this.following.stop(group);
      return this.leading.review(group, now);
    }
    if (group.led.length > 0) this.leading.stop(group);
    this.following.review(group);
    return false;
  }

  /** The group leaves this store. */
  remove(group: Group): void {
    this.leading.stop(group);
    this.following.stop(group);
  }

  /** When the group wants its next tick. While its leader's store is heard, a follower has no timer of its own. */
  deadlineOf(group: Group): number {
    const { followed } = group;
    if (followed === undefined) return group.core.nextDeadline();
    // Reads that it asked its leader for have a deadline of their own.
    if (!followed.session.isSilent && group.confirmingReads.size === 0)
      return Number.POSITIVE_INFINITY;
    this.following.sync(group);
    return group.core.nextDeadline();
  }

  /** What the other store told of its log. Undefined: nothing since this store's start. */
  heardOf(storeId: StoreId): HeardLog | undefined {
    return this.peers.get(storeId)?.heard;
  }

  receive(from: StoreId, message: StoreMessage): void {
    this.inbox.push({ from, message });
  }

  /** Hears what stores said, beats where it is time, and hands some of the waiting groups back to the loop. */
  turn(now: number): void {
    const { inbox } = this;
    if (inbox.length > 0) {
      this.inbox = [];
      for (const { from, message } of inbox) {
        const peer = this.peer(from);
        peer.hear(message);
        if (message.kind === 'storeHeartbeat') peer.follower.onHeartbeat(message, now);
        else peer.leader.onAnswer(message, now);
      }
    }
    for (const peer of this.time.takeDue(now, Number.POSITIVE_INFINITY)) peer.onDue(now);
    this.releaseWaiting();
  }

  /** Every peer's deadline as it is after the turn. */
  arm(): void {
    for (const peer of this.peers.values()) this.time.update(peer.refresh());
    this.time.arm();
  }

  stop(): void {
    this.time.stop();
  }

  private releaseWaiting(): void {
    const { waiting } = this;
    if (waiting.length === 0) return;
    const { reviewsPerTurnMax } = this.shell.options.driverLimits;
    const end = Math.min(waiting.length, this.waitingFrom + reviewsPerTurnMax);
    for (let at = this.waitingFrom; at < end; at++) {
      const group = waiting[at];
      if (group === undefined) continue;
      group.awaitsReview = false;
      this.shell.touch(group);
    }
    this.waitingFrom = end;
    if (end < waiting.length) {
      this.shell.schedule();
      return;
    }
    this.waiting = [];
    this.waitingFrom = 0;
  }

  private reviewLater(rangeId: RangeId): void {
    const group = this.options.groupOf(rangeId);
    if (group === undefined || group.awaitsReview) return;
    group.awaitsReview = true;
    this.waiting.push(group);
    this.shell.schedule();
  }

  private peer(storeId: StoreId): PeerStore {
    let peer = this.peers.get(storeId);
    if (peer === undefined) {
      peer = this.makePeer(storeId);
      this.peers.set(storeId, peer);
    }
    return peer;
  }

  private makePeer(storeId: StoreId): PeerStore {
    const { options } = this.shell;
    const { groupOf, maySend } = this.options;
    const common = {
      incarnation: options.incarnation,
      durableBatch: () => options.wal.durableBatch(),
      heartbeatIntervalMs: options.timings.heartbeatIntervalMs,
      electionTimeoutMs: options.timings.electionTimeoutMs,
      changesPerMessageMax: options.driverLimits.storeChangesPerMessageMax,
      send: (message: StoreMessage): void => {
        if (maySend()) options.send(storeId, message);
      },
      reconsider: (rangeId: RangeId): void => this.reviewLater(rangeId),
    };
    const leader = new LeaderSide({
      ...common,
      beforeChange: (rangeId) => {
        const group = groupOf(rangeId);
        if (group !== undefined) this.leading.sync(group);
      },
    });
    const follower = new FollowerSide({
      ...common,
      endSupport: (rangeId, session) => {
        const group = groupOf(rangeId);
        if (group?.followed?.session === session) this.following.stop(group);
      },
    });
    return new PeerStore(leader, follower);
  }
}
