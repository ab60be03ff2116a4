/**
 * All snapshots of a store, out and in: numbers them, admits them up to a bound, and brings the messages of the bulk
 * channel to the transfer that they belong to. What a receiver answers is remembered for a while, for senders that did
 * not hear it.
 */
import type { Clock, StoreId } from '@flotilla/base';
import type { Engine } from '../engine/engine.ts';
import type { EngineTurns } from '../engine/engine-turns.ts';
import type { StoreLimits } from '../limits.ts';
import type { Replica } from '../replica/replica.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import { IncomingSnapshot, type Installed } from './incoming.ts';
import { type BulkMessage, type End, type Offer, SnapshotOutcome } from './messages.ts';
import { OutgoingSnapshot, type SendResult } from './outgoing.ts';
import { SnapshotSource } from './source.ts';
import { Staging } from './staging.ts';

/** What the transfers ask of the store: decisions about replicas are not made here. */
export interface ReplicaKeeper {
  /** Undefined: the replica waits for such a snapshot. */
  refuseOffer(offer: Offer): { outcome: SnapshotOutcome; reason: string } | undefined;
  /** Says why the state that came is not what this replica needs. */
  refuseState(offer: Offer, state: RangeState): string | undefined;
  newStorageId(): number;
  install(offer: Offer, state: RangeState): Promise<Installed>;
  reclaim(storageId: number): void;
}

export interface TransfersOptions {
  readonly storeId: StoreId;
  readonly clock: Clock;
  readonly engine: Engine;
  readonly turns: EngineTurns;
  readonly limits: StoreLimits;
  readonly keeper: ReplicaKeeper;
  /** Rises with every start of the store: numbers of transfers are never used again. */
  readonly incarnation: number;
  readonly send: (to: StoreId, message: BulkMessage) => void;
  readonly onFatal: (error: unknown) => void;
}

export interface SendRequest {
  readonly replica: Replica;
  readonly toReplicaId: number;
  readonly toStore: StoreId;
  readonly term: number;
  /** As in `OutgoingOptions`. */
  readonly inVain: (index: number) => string | undefined;
}

/** Ends that are remembered for senders that did not hear them. */
const rememberedEnds = 64;
/** Numbers per incarnation. */
const numbersPerLife = 1_000_000;

export class SnapshotTransfers {
  private readonly options: TransfersOptions;
  private readonly outgoing = new Map<number, OutgoingSnapshot>();
  private readonly outgoingTo = new Map<number, StoreId>();
  private readonly incoming = new Map<string, IncomingSnapshot>();
  private readonly ends = new Map<string, End>();
  private nextNumber: number;
  /** Installed at their receivers, and here, since the process began. */
  sent = 0;
  received = 0;
  private stopped = false;

  constructor(options: TransfersOptions) {
    this.options = options;
    this.nextNumber = options.incarnation * numbersPerLife;
  }

  get sending(): number {
    return this.outgoing.size;
  }

  get receiving(): number {
    return this.incoming.size;
  }

  /** Resolves when the receiver has installed it, or it failed. */
  async send(request: SendRequest): Promise<SendResult> {
    const { clock, engine, turns, limits, onFatal } = this.options;
    if (this.stopped) return { ok: false, index: 0, reason: 'stopping', begun: false };
    const small = request.replica.storedBytes <= limits.smallSnapshotBytes;
    if (isFull(this.outgoing.values(), small, limits.snapshotsSendingMax, limits))
      return { ok: false, index: 0, reason: 'too many are being sent', begun: false };
    const { replica, toStore } = request;
    const snapshotId = this.takeNumber(toStore);
    const transfer = new OutgoingSnapshot({
      ...request,
      snapshotId,
      small,
      clock,
      idleMs: limits.snapshotIdleMs,
      openSource: () =>
        SnapshotSource.open({ engine, turns, replica, chunkBytes: limits.snapshotChunkBytes }),
      send: (message) => this.options.send(toStore, message),
      onFatal,
    });
    this.outgoing.set(snapshotId, transfer);
    this.outgoingTo.set(snapshotId, toStore);
    const result = await transfer.result;
    if (result.ok) this.sent++;
    this.outgoing.delete(snapshotId);
    this.outgoingTo.delete(snapshotId);
    return result;
  }

  receive(from: StoreId, messages: readonly BulkMessage[]): void {
    if (this.stopped) return;
    for (const message of messages) {
      switch (message.kind) {
        case 'offer':
          this.onOffer(from, message);
          break;
        case 'pull':
          if (this.outgoingTo.get(message.snapshotId) === from)
            this.outgoing.get(message.snapshotId)?.onPull(message);
          break;
        case 'chunk':
          this.incoming.get(nameOf(from, message.snapshotId))?.onChunk(message);
          break;
        case 'end':
          if (this.outgoingTo.get(message.snapshotId) === from)
            this.outgoing.get(message.snapshotId)?.onEnd(message);
          this.incoming.get(nameOf(from, message.snapshotId))?.abort('the sender gave up');
          break;
      }
    }
  }

  /** The replica goes: nothing is received for it any more. */
  forget(rangeId: number): void {
    for (const transfer of this.incoming.values())
      if (transfer.options.offer.rangeId === rangeId) transfer.abort('the replica is removed');
  }

  /** Resolves nothing that is being installed: the process ends, and recovery sweeps. */
  stop(): void {
    this.stopped = true;
    for (const transfer of this.outgoing.values()) transfer.abort('stopping');
    for (const transfer of this.incoming.values()) transfer.abort('stopping');
  }

  /**
   * Between two stores the one with the lower id uses even numbers, the other odd ones: `end` is said by both sides, and must
   * not be taken for the end of what goes the other way.
   */
  private takeNumber(toStore: StoreId): number {
    const even = this.nextNumber;
    this.nextNumber += 2;
    return this.options.storeId < toStore ? even : even + 1;
  }

  private onOffer(from: StoreId, offer: Offer): void {
    const name = nameOf(from, offer.snapshotId);
    const underWay = this.incoming.get(name);
    const known = this.ends.get(name);
    if (underWay !== undefined) underWay.repeat();
    else if (known !== undefined) this.options.send(from, known);
    else {
      const refused = this.refuse(from, offer);
      if (refused === undefined) this.admit(from, name, offer);
      else
        this.options.send(from, {
          kind: 'end',
          snapshotId: offer.snapshotId,
          outcome: refused.outcome,
          index: 0,
          reason: refused.reason,
        });
    }
  }

  private refuse(
    from: StoreId,
    offer: Offer,
  ): { outcome: SnapshotOutcome; reason: string } | undefined {
    const busy = (reason: string): { outcome: SnapshotOutcome; reason: string } => ({
      outcome: SnapshotOutcome.SNAPSHOT_BUSY,
      reason,
    });
    const refused = this.options.keeper.refuseOffer(offer);
    if (refused !== undefined) return refused;
    for (const transfer of this.incoming.values()) {
      if (transfer.options.offer.rangeId !== offer.rangeId) continue;
      // One at a time per range. A newer one of the same sender, or of a newer leader, means that the older is dead;
      // it takes a moment to end, and the newer one is offered again.
      const { offer: other, from: otherStore } = transfer.options;
      if (otherStore === from ? offer.snapshotId > other.snapshotId : offer.term > other.term)
        transfer.abort('a newer snapshot is offered');
      return busy('a snapshot of this range is being received');
    }
    const { limits } = this.options;
    const offers = [...this.incoming.values()].map(({ options }) => options.offer);
    if (isFull(offers, offer.small, limits.snapshotsReceivingMax, limits))
      return busy('too many snapshots are being received');
    return undefined;
  }

  private admit(from: StoreId, name: string, offer: Offer): void {
    const { clock, turns, limits, keeper, onFatal } = this.options;
    const transfer = new IncomingSnapshot({
      offer,
      from,
      clock,
      idleMs: limits.snapshotIdleMs,
      windowChunks: limits.snapshotWindowChunks,
      staging: new Staging({
        turns,
        storageId: keeper.newStorageId(),
        replicaId: offer.toReplicaId,
        refuse: (state) => keeper.refuseState(offer, state),
      }),
      send: (message) => this.options.send(from, message),
      install: (state) => keeper.install(offer, state),
      reclaim: (storageId) => keeper.reclaim(storageId),
      onEnded: (end) => {
        this.incoming.delete(name);
        if (end.outcome === SnapshotOutcome.SNAPSHOT_INSTALLED) this.received++;
        this.ends.set(name, end);
        const [oldest] = this.ends.keys();
        if (this.ends.size > rememberedEnds && oldest !== undefined) this.ends.delete(oldest);
      },
      onFatal,
    });
    this.incoming.set(name, transfer);
  }
}

/** There are enough of this kind. A small one may take the place of a large one, not the other way round. */
function isFull(
  underWay: Iterable<{ readonly small: boolean }>,
  small: boolean,
  largeMax: number,
  { smallSnapshotsMax }: StoreLimits,
): boolean {
  let [smalls, larges] = [0, 0];
  for (const one of underWay) {
    if (one.small) smalls++;
    else larges++;
  }
  return small ? smalls + larges >= largeMax + smallSnapshotsMax : larges >= largeMax;
}

function nameOf(from: StoreId, snapshotId: number): string {
  return `${from}/${snapshotId}`;
}
