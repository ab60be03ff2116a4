/**
 * How a replica learns that it was removed while it did not listen. Who hears no leader for a while asks the stores that
 * it believes to be members, and those of the meta range: "am I one still?". An answer comes only from applied state
 * that proves the contrary, and never becomes untrue, so it needs no leader, no lease and no quorum.
 */
import {
  asBuffer,
  type Clock,
  compareBytes,
  keySuccessor,
  type StoreId,
  type Timer,
  toStoreId,
} from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import {
  checkDescriptor,
  isLearner,
  provesRemoved,
  type RangeDescriptor,
  replicaOnStore,
} from '../range-descriptor.ts';
import type { Replica } from '../replica/replica.ts';
import { type MetaIndex, metaKey } from '../store/meta-index.ts';
import type { ReplicaLifecycle } from './replica-lifecycle.ts';

type Query = flotilla.kv.MembershipQuery.$Properties;
type Verdict = flotilla.kv.MembershipVerdict.$Properties;

export interface RemovalInquiryOptions {
  readonly storeId: StoreId;
  readonly clock: Clock;
  readonly index: MetaIndex;
  readonly replicas: ReadonlyMap<number, Replica>;
  readonly lifecycle: ReplicaLifecycle;
  readonly leaderlessMs: number;
  readonly metaDescriptor: () => RangeDescriptor | undefined;
  readonly send: (to: StoreId, request: flotilla.kv.Request.$Properties) => void;
  readonly onFatal: (error: unknown) => void;
}

/** A replica without a state that nobody writes to is forgotten after so many times `leaderlessMs`. */
const forgetAfter = 15;

/** A replica here that hears no leader. */
interface Leaderless {
  readonly sinceMs: number;
  askedMs: number;
}

export class RemovalInquiry {
  private readonly options: RemovalInquiryOptions;
  private leaderless = new Map<number, Leaderless>();
  private timer: Timer | undefined;
  private stopped = false;

  constructor(options: RemovalInquiryOptions) {
    this.options = options;
  }

  start(): void {
    if (this.stopped) return;
    this.timer = this.options.clock.setTimer(this.options.leaderlessMs / 4, () => {
      this.round();
      this.start();
    });
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  /** Another store asks about its replica. Silence means: no proof here. */
  onQuery(sender: StoreId, query: Query): void {
    const { rangeId = 0, replicaId = 0 } = query;
    if (!rangeId || !replicaId) return;
    const from = query.forStoreId ? toStoreId(query.forStoreId) : sender;
    const descriptor = this.options.replicas.get(rangeId)?.descriptor;
    if (descriptor !== undefined) this.judge(from, query, descriptor);
    else if (query.keyKnown === true)
      this.lookUp(from, query).catch((error: unknown) => {
        if (!this.stopped) this.options.onFatal(error);
      });
  }

  /** Somebody says that a replica of this store is a member no longer. */
  onVerdict(verdict: Verdict): void {
    const { storeId, lifecycle } = this.options;
    const checked = checkDescriptor(verdict.descriptor ?? {});
    if (!checked.ok || checked.descriptor.rangeId !== verdict.rangeId) return;
    const { descriptor } = checked;
    const replicaId = lifecycle.replicaId(descriptor.rangeId);
    if (replicaId === undefined || replicaId !== verdict.replicaId) return;
    if (provesRemoved(descriptor, replicaId, storeId))
      lifecycle.remove(descriptor.rangeId, replicaId, descriptor);
  }

  /** The members of a range changed here: this replica may be out, and others may sleep through being out. */
  onMembers(replica: Replica, before: RangeDescriptor): void {
    const { storeId, lifecycle } = this.options;
    const { descriptor, rangeId, replicaId } = replica;
    if (provesRemoved(descriptor, replicaId, storeId)) {
      lifecycle.remove(rangeId, replicaId, descriptor);
      return;
    }
    if (replica.role !== 'leader') return;
    for (const member of before.replicas)
      if (provesRemoved(descriptor, member.replicaId, member.storeId))
        this.tell(member.storeId, { rangeId, replicaId: member.replicaId, descriptor });
  }

  private round(): void {
    const { replicas, lifecycle, leaderlessMs, storeId } = this.options;
    const before = this.leaderless;
    this.leaderless = new Map();
    for (const replica of replicas.values()) {
      const { descriptor, rangeId, replicaId } = replica;
      if (provesRemoved(descriptor, replicaId, storeId)) {
        // Applied before a restart, or while something else held the removal up.
        lifecycle.remove(rangeId, replicaId, descriptor);
        continue;
      }
      const place = replicaOnStore(descriptor, storeId);
      // A learner does not campaign, so its leader's silence does not show.
      if (replica.leaderId !== undefined && place !== undefined && !isLearner(place)) continue;
      if (!this.isTimeToAsk(rangeId, before)) continue;
      const { startKey } = descriptor;
      this.ask({ rangeId, replicaId, startKey, keyKnown: true }, descriptor.replicas);
    }
    for (const [rangeId, { replicaId, from, soft }] of lifecycle.uninitialized) {
      if (!this.isTimeToAsk(rangeId, before)) continue;
      this.ask({ rangeId, replicaId, keyKnown: false }, [{ storeId: from }]);
      const waited = this.options.clock.nowMs() - (this.leaderless.get(rangeId)?.sinceMs ?? 0);
      if (soft?.leader === undefined && waited >= forgetAfter * leaderlessMs)
        lifecycle.forgetUninitialized(rangeId);
    }
  }

  /** Notes that the replica hears no leader. */
  private isTimeToAsk(rangeId: number, before: ReadonlyMap<number, Leaderless>): boolean {
    const { clock, leaderlessMs } = this.options;
    const now = clock.nowMs();
    const leaderless = before.get(rangeId) ?? { sinceMs: now, askedMs: now };
    this.leaderless.set(rangeId, leaderless);
    if (now - leaderless.askedMs < leaderlessMs) return false;
    leaderless.askedMs = now;
    return true;
  }

  private ask(query: Query, members: readonly { readonly storeId: StoreId }[]): void {
    const { storeId, metaDescriptor, send } = this.options;
    const stores = new Set(members.map((member) => member.storeId));
    for (const member of metaDescriptor()?.replicas ?? []) stores.add(member.storeId);
    stores.delete(storeId);
    for (const store of stores) send(store, { requestId: 0, membershipQuery: query });
  }

  private judge(from: StoreId, query: Query, descriptor: RangeDescriptor): void {
    const { replicaId } = query;
    const { rangeId } = descriptor;
    if (typeof replicaId === 'number' && provesRemoved(descriptor, replicaId, from))
      this.tell(from, { rangeId, replicaId, descriptor });
  }

  private tell(to: StoreId, verdict: Verdict): void {
    this.options.send(to, { requestId: 0, membershipVerdict: verdict });
  }

  /** Looks for the row of the range that held `query.startKey`: here, or where the first range's rows say that it is. */
  private async lookUp(from: StoreId, query: Query): Promise<void> {
    const { index, send, storeId } = this.options;
    const row = keySuccessor(metaKey(asBuffer(query.startKey ?? new Uint8Array(0))));
    // The row follows `row`, perhaps in the next part of the index; a wrong one proves nothing.
    for (const part of index.parts()) {
      const { startKey } = part.descriptor;
      const found = await index.rowFrom(part, compareBytes(row, startKey) > 0 ? row : startKey);
      if (found !== undefined && found.rangeId === query.rangeId) this.judge(from, query, found);
    }
    if (query.forStoreId) return;
    const part = await index.rangeWith(row);
    const next = part && (await index.rangeWith(part.endKey));
    for (const each of [part, next])
      for (const member of each?.replicas ?? [])
        if (member.storeId !== storeId)
          send(member.storeId, { requestId: 0, membershipQuery: { ...query, forStoreId: from } });
  }
}
