/**
 * One group as the driver sees it: the core, what of it waits for the disk, for the state machine, for a read point.
 * Passive: `driver.ts` decides when anything happens.
 */
import {
  assert,
  type LogIndex,
  type RangeId,
  type ReplicaId,
  type StoreId,
  type Term,
  toLogIndex,
} from '@flotilla/base';
import type { RaftCore, ReadPoint, Ready, SoftState } from '../core/raft-core.ts';
import type { LogEntry } from '../messages.ts';
import type { Deadlined } from './deadlines.ts';
import type { Followed } from './liveness/following.ts';
import type { LedMember } from './liveness/leading.ts';
import type { ReadGrant } from './multi-raft.ts';

export type Resolve = (grant: ReadGrant) => void;

const noStores: ReadonlyMap<ReplicaId, StoreId> = new Map();
/** More replicas than ever leave or join a group at one time. */
const strangersMax = 16;

interface WaitingForApply {
  readonly index: LogIndex;
  readonly waiters: readonly Resolve[];
}

export class Group implements Deadlined {
  readonly rangeId: RangeId;
  readonly core: RaftCore;
  softState: SoftState | undefined;
  /** In the driver's list of groups to look at in the next turn. */
  dirty = false;

  /** Store liveness, while it leads: its members on other stores, and the term and the members this stands for. */
  led: readonly LedMember[] = [];
  ledTerm: Term | undefined;
  ledStoreOf: ReadonlyMap<ReplicaId, StoreId> | undefined;
  /** Store liveness, while it follows: what this store vouches for. */
  followed: Followed | undefined;
  /** Store liveness will hand it to the loop. */
  awaitsReview = false;

  /** Where replicas speak from that the configuration does not name: answers go there. */
  private readonly seenOn = new Map<ReplicaId, StoreId>();

  deadline: number = Number.POSITIVE_INFINITY;
  armedAt: number = Number.POSITIVE_INFINITY;

  /** Readys whose turn to be settled has not come: the first waits for its write. Oldest first. */
  readonly unpersisted: Ready[] = [];

  /** Committed entries not yet handed to the state machine, oldest first; and their data bytes. */
  committed: LogEntry[] = [];
  committedBytes = 0;
  lastApplied: LogIndex;

  /** Barriers that ask for a read point in the next turn; they share one. */
  askingReads: Resolve[] = [];
  /** Barriers whose read point is on its way, by context. */
  readonly confirmingReads: Map<number, readonly Resolve[]> = new Map();
  /** Barriers with a read point that is not applied yet. */
  private applyingReads: WaitingForApply[] = [];

  constructor(core: RaftCore, applied: LogIndex) {
    this.rangeId = core.rangeId;
    this.core = core;
    this.lastApplied = applied;
  }

  /** Where each member lives, by the newest configuration. The same object until that changes. */
  get storeOf(): ReadonlyMap<ReplicaId, StoreId> {
    return this.core.configuration?.storeOf ?? noStores;
  }

  /** Where a replica is to be spoken to: where the configuration has it, or else where it last spoke from. */
  storeOfReplica(replicaId: ReplicaId): StoreId | undefined {
    return this.storeOf.get(replicaId) ?? this.seenOn.get(replicaId);
  }

  /** A message of `replicaId` came from `storeId`. The configuration here may be too old to name it. */
  onSpokenTo(replicaId: ReplicaId, storeId: StoreId): void {
    if (this.storeOf.has(replicaId)) return;
    if (this.seenOn.size >= strangersMax && !this.seenOn.has(replicaId)) this.seenOn.clear();
    this.seenOn.set(replicaId, storeId);
  }

  addCommitted(entries: readonly LogEntry[]): void {
    for (const entry of entries) {
      this.committed.push(entry);
      this.committedBytes += entry.data.length;
    }
  }

  /** Takes committed entries off the front, at least one, up to about `bytesMax`. */
  takeCommitted(bytesMax: number): { entries: readonly LogEntry[]; bytes: number } {
    let bytes = 0;
    let count = 0;
    while (count < this.committed.length) {
      const size = this.committed[count]?.data.length ?? 0;
      if (count > 0 && bytes + size > bytesMax) break;
      bytes += size;
      count++;
    }
    this.committedBytes -= bytes;
    if (count === this.committed.length) {
      const entries = this.committed;
      this.committed = [];
      return { entries, bytes };
    }
    return { entries: this.committed.splice(0, count), bytes };
  }

  /** A read point came for barriers that waited for it. */
  onReadPoint(point: ReadPoint): void {
    const waiters = this.confirmingReads.get(point.context);
    if (waiters === undefined) return;
    this.confirmingReads.delete(point.context);
    if (!point.ok) {
      for (const resolve of waiters)
        resolve({ ok: false, reason: 'notLeader', leader: point.leader });
      return;
    }
    if (point.index <= this.lastApplied) {
      for (const resolve of waiters) resolve({ ok: true });
      return;
    }
    this.applyingReads.push({ index: point.index, waiters });
  }

  onApplied(entries: readonly LogEntry[]): void {
    const last = entries[entries.length - 1];
    assert(last !== undefined, 'a batch for a group holds entries');
    assert(entries[0]?.index === this.lastApplied + 1, 'entries are applied in order, once each', {
      range: this.rangeId,
      first: entries[0]?.index,
      lastApplied: this.lastApplied,
    });
    this.lastApplied = toLogIndex(last.index);
    if (this.applyingReads.length === 0) return;
    const still: WaitingForApply[] = [];
    for (const waiting of this.applyingReads) {
      if (waiting.index > this.lastApplied) still.push(waiting);
      else for (const resolve of waiting.waiters) resolve({ ok: true });
    }
    this.applyingReads = still;
  }

  /** The process stops: nobody waits for ever. */
  failReads(): void {
    const grant: ReadGrant = { ok: false, reason: 'stopped', leader: undefined };
    for (const resolve of this.askingReads) resolve(grant);
    for (const waiters of this.confirmingReads.values())
      for (const resolve of waiters) resolve(grant);
    for (const { waiters } of this.applyingReads) for (const resolve of waiters) resolve(grant);
    this.askingReads = [];
    this.confirmingReads.clear();
    this.applyingReads = [];
  }
}
