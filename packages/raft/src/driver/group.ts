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
import type { LogEntry, SnapshotPoint } from '../messages.ts';
import type { GroupLog } from '../wal/write-ahead-log.ts';
import type { Deadlined } from './deadlines.ts';
import type { Followed, LedMember } from './liveness/group-liveness.ts';
import type { CommittedEntries, InstallResult, ReadGrant } from './multi-raft.ts';

export type Resolve = (grant: ReadGrant) => void;

const noStores: ReadonlyMap<ReplicaId, StoreId> = new Map();
/** More replicas than ever leave or join a group at one time. */
const strangersMax = 16;

/** Barriers whose read point is not applied yet. */
export interface WaitingForApply {
  readonly index: LogIndex;
  readonly waiters: readonly Resolve[];
}

export interface SendingSnapshot {
  /** What was applied when it was asked for. */
  readonly from: LogIndex;
}

export class Group implements Deadlined {
  readonly rangeId: RangeId;
  readonly core: RaftCore;
  readonly log: GroupLog;
  softState: SoftState | undefined;
  /** It has left this store: whatever still comes back for it is nobody's business. */
  isRemoved = false;
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
  /** A durable snapshot that the state machine has not been given yet. `committed` follows it. */
  private snapshot: SnapshotPoint | undefined;
  /** Who waits for a snapshot to be installed, by its index. */
  private installing: { readonly index: LogIndex; readonly resolve: (r: InstallResult) => void }[] =
    [];
  /**
   * Snapshots on their way to members: the log behind each is kept. One of an earlier leadership may still end while another
   * is on its way to the same member.
   */
  readonly sendingSnapshots: Set<SendingSnapshot> = new Set();

  /** Barriers that ask for a read point in the next turn; they share one. */
  askingReads: Resolve[] = [];
  /** Barriers whose read point is on its way, by context. */
  readonly confirmingReads: Map<number, readonly Resolve[]> = new Map();
  /** Barriers with a read point that is not applied yet. */
  private applyingReads: WaitingForApply[] = [];

  constructor(core: RaftCore, log: GroupLog, applied: LogIndex) {
    this.rangeId = core.rangeId;
    this.core = core;
    this.log = log;
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

  get hasCommitted(): boolean {
    return this.snapshot !== undefined || this.committed.length > 0;
  }

  /** The state of `snapshot` takes the place of everything that the state machine has not been given yet. */
  addSnapshot(snapshot: SnapshotPoint): void {
    assert(snapshot.lastIncludedIndex > this.lastApplied, 'a snapshot goes forward');
    this.dropCommitted();
    this.snapshot = snapshot;
  }

  dropCommitted(): void {
    this.committed = [];
    this.committedBytes = 0;
  }

  addCommitted(entries: readonly LogEntry[]): void {
    for (const entry of entries) {
      this.committed.push(entry);
      this.committedBytes += entry.data.length;
    }
  }

  /** Takes what comes next in the line: a snapshot, or committed entries, at least one, up to about `bytesMax`. */
  takeCommitted(bytesMax: number): { committed: CommittedEntries; bytes: number } {
    const { rangeId, snapshot } = this;
    if (snapshot !== undefined) {
      this.snapshot = undefined;
      return { committed: { rangeId, snapshot, entries: [] }, bytes: 0 };
    }
    const { entries, bytes } = this.takeEntries(bytesMax);
    return { committed: { rangeId, snapshot: undefined, entries }, bytes };
  }

  private takeEntries(bytesMax: number): { entries: readonly LogEntry[]; bytes: number } {
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

  /** A read point came for barriers that waited for it. Returns what must still wait for the state machine. */
  onReadPoint(point: ReadPoint): WaitingForApply | undefined {
    const waiters = this.confirmingReads.get(point.context);
    if (waiters === undefined) return undefined;
    this.confirmingReads.delete(point.context);
    if (!point.ok) {
      const { leader } = point;
      for (const resolve of waiters) resolve({ ok: false, reason: 'notLeader', leader });
      return undefined;
    }
    if (point.index <= this.lastApplied) {
      for (const resolve of waiters) resolve({ ok: true });
      return undefined;
    }
    const waiting = { index: point.index, waiters };
    this.applyingReads.push(waiting);
    return waiting;
  }

  /** These have waited long enough, if they still wait. */
  giveUp(waiting: WaitingForApply): void {
    const at = this.applyingReads.indexOf(waiting);
    if (at < 0) return;
    this.applyingReads.splice(at, 1);
    const leader = this.softState?.leader;
    for (const resolve of waiting.waiters) resolve({ ok: false, reason: 'notLeader', leader });
  }

  onApplied({ snapshot, entries }: CommittedEntries): void {
    if (snapshot !== undefined) this.onInstalled(snapshot);
    else {
      const last = entries[entries.length - 1];
      assert(last !== undefined, 'a batch for a group holds entries');
      const first = entries[0]?.index;
      const { rangeId: range, lastApplied } = this;
      const facts = { range, first, lastApplied };
      assert(first === lastApplied + 1, 'entries are applied in order, once each', facts);
      this.lastApplied = toLogIndex(last.index);
    }
    if (this.applyingReads.length === 0) return;
    const still: WaitingForApply[] = [];
    for (const waiting of this.applyingReads) {
      if (waiting.index > this.lastApplied) still.push(waiting);
      else for (const resolve of waiting.waiters) resolve({ ok: true });
    }
    this.applyingReads = still;
  }

  /** Resolves once the state machine has the snapshot of `index`. */
  whenInstalled(index: LogIndex): Promise<InstallResult> {
    return new Promise((resolve) => this.installing.push({ index, resolve }));
  }

  private onInstalled(snapshot: SnapshotPoint): void {
    const appliedIndex = snapshot.lastIncludedIndex;
    assert(appliedIndex > this.lastApplied, 'a snapshot goes forward');
    this.lastApplied = appliedIndex;
    const still: typeof this.installing = [];
    for (const waiting of this.installing) {
      if (waiting.index > appliedIndex) still.push(waiting);
      else waiting.resolve({ ok: true, appliedIndex });
    }
    this.installing = still;
  }

  /** The process stops, or the group leaves: nobody waits for ever. */
  failWaiters(reason: 'stopped' | 'noSuchGroup'): void {
    for (const { resolve } of this.installing) resolve({ ok: false, reason });
    this.installing = [];
    const grant: ReadGrant = { ok: false, reason, leader: undefined };
    for (const resolve of this.askingReads) resolve(grant);
    for (const waiters of this.confirmingReads.values())
      for (const resolve of waiters) resolve(grant);
    for (const { waiters } of this.applyingReads) for (const resolve of waiters) resolve(grant);
    this.askingReads = [];
    this.confirmingReads.clear();
    this.applyingReads = [];
  }
}
