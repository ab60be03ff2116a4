/** Two stores' transfers over a network in memory, for the tests of this folder. */
import {
  crc32c,
  FrameReader,
  MemoryNetwork,
  type MemoryTransport,
  Outbox,
  type RangeId,
  SeededPrng,
  type StoreId,
  toRangeId,
  toReplicaId,
  toStoreId,
  toTimestamp,
} from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { expect } from 'vitest';
import type { EngineOperation } from '../engine/engine.ts';
import { EngineTurns } from '../engine/engine-turns.ts';
import { defaultStoreLimits, type StoreLimits } from '../limits.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import { Replica } from '../replica/replica.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import { SessionTable } from '../state/session-table.ts';
import { StorageSpace, spansOfStorage } from '../state/storage-keys.ts';
import { encodeStored } from '../state/stored-value.ts';
import { TransactionState } from '../state/transaction-state.ts';
import { MemoryEngine } from '../testing/memory-engine.ts';
import { WaitingRoom } from '../transaction/waiting-room.ts';
import { type BulkMessage, decodeBulk, encodeBulk, SnapshotOutcome } from './messages.ts';
import type { SendResult } from './outgoing.ts';
import { SnapshotTransfers } from './transfers.ts';

export const rangeId: RangeId = toRangeId(7);
const clusterId = Buffer.alloc(16, 1);
export const descriptor: RangeDescriptor = {
  rangeId,
  startKey: Buffer.from('b'),
  endKey: Buffer.from('y'),
  generation: 3,
  replicas: [1, 2].map((id) => ({ replicaId: toReplicaId(id), storeId: toStoreId(id) })),
  nextReplicaId: toReplicaId(3),
};

export function replicaOf(state: RangeState): Replica {
  return new Replica(state, { newWaitingRoom: () => new WaitingRoom(undefined, 1) } as never);
}

export function senderState(): RangeState {
  const sessions = new SessionTable();
  sessions.register(100, Buffer.from('nonce'), 5);
  const session = sessions.find(100);
  if (session !== undefined)
    sessions.record(session, 1, 0, {
      index: 6,
      timestamp: 200,
      failedCondition: 0,
      foundTimestamp: 0,
      versionTimestamp: 0,
    });
  return {
    descriptor,
    replicaId: 1,
    appliedIndex: 42,
    liveBytes: 0,
    historyBytes: 0,
    appliedTerm: 4,
    storageId: 9,
    lastTimestamp: 777,
    sessions,
    lastDeletion: 0,
    transactions: new TransactionState(),
  };
}

export class Side {
  readonly engine: MemoryEngine = new MemoryEngine();
  readonly turns: EngineTurns = new EngineTurns(this.engine);
  readonly installed: RangeState[] = [];
  readonly reclaimed: number[] = [];
  readonly transport: MemoryTransport;
  readonly transfers: SnapshotTransfers;
  readonly failures: unknown[] = [];
  appliedIndex = 0;
  installs: 'at once' | 'never' | 'undecided' = 'at once';
  /** Looks at what arrives; false drops it. */
  filter: (message: BulkMessage) => boolean = () => true;
  received = 0;
  private storageIds = 20;

  constructor(world: World, storeId: StoreId, limits: StoreLimits) {
    this.transport = world.network.connect(`store-${storeId}`);
    const outbox = new Outbox({
      transport: this.transport,
      clock: world.clock,
      header: () => ({
        clusterId,
        timestamp: toTimestamp(0),
        sender: { kind: 'store', storeId },
      }),
    });
    this.transfers = new SnapshotTransfers({
      storeId,
      clock: world.clock,
      engine: this.engine,
      turns: this.turns,
      limits,
      incarnation: 1,
      send: (to, message) =>
        outbox.enqueue({ kind: 'store', storeId: to, channel: 'bulk' }, encodeBulk(message)),
      onFatal: (error) => this.failures.push(error),
      keeper: {
        refuseOffer: (offer) =>
          offer.index > this.appliedIndex
            ? undefined
            : { outcome: SnapshotOutcome.SNAPSHOT_STALE, reason: 'old' },
        refuseState: () => undefined,
        newStorageId: () => ++this.storageIds,
        install: async (_offer, state) => {
          if (this.installs === 'never') return new Promise(() => {});
          if (this.installs === 'undecided')
            return {
              ok: false,
              ...{ outcome: SnapshotOutcome.SNAPSHOT_FAILED, reason: 'stopped', undecided: true },
            };
          this.installed.push(state);
          this.appliedIndex = state.appliedIndex;
          return { ok: true, index: state.appliedIndex };
        },
        reclaim: (storageId) => void this.reclaimed.push(storageId),
      },
    });
    const reader = new FrameReader({ clock: world.clock });
    this.transport.listen({ kind: 'store', storeId, channel: 'bulk' }, (frame) => {
      const read = reader.read(frame);
      if (!read.ok || read.header.sender.kind !== 'store') return;
      for (const bytes of read.messages) {
        const message = decodeBulk(bytes);
        if (message === undefined || !this.filter(message)) continue;
        this.received++;
        this.transfers.receive(read.header.sender.storeId, [message]);
      }
    });
  }

  rowsOf(storageId: number): string[] {
    const spans = spansOfStorage(storageId);
    return this.engine
      .rows()
      .filter(({ key }) =>
        spans.some(
          (span) => Buffer.compare(key, span.startKey) >= 0 && Buffer.compare(key, span.endKey) < 0,
        ),
      )
      .map(({ key, value }) => `${key[0]} ${key.subarray(5).toString('hex')} ${crc32c(value)}`);
  }
}

export class World {
  readonly clock: ManualClock = new ManualClock();
  readonly network: MemoryNetwork;
  readonly one: Side;
  readonly two: Side;
  readonly replica: Replica;

  constructor(limits: Partial<StoreLimits> = {}) {
    const all = { ...defaultStoreLimits, snapshotChunkBytes: 100, ...limits };
    this.network = new MemoryNetwork({ clock: this.clock, prng: new SeededPrng(5) });
    this.one = new Side(this, toStoreId(1), all);
    this.two = new Side(this, toStoreId(2), all);
    this.replica = replicaOf(senderState());
  }

  async fill(rows: number, valueBytes = 20): Promise<void> {
    const space = new StorageSpace(9);
    const operations: EngineOperation[] = [];
    for (let i = 0; i < rows; i++) {
      // Zero bytes, so that escaping shows; and rows outside of the range, which must stay at home.
      const key = Buffer.from(`c\0${i}`);
      const value = encodeStored(key, 1000 + i, Buffer.alloc(valueBytes, i));
      operations.push({ type: 'put' as const, key: space.dataKey(key), value });
      const old = encodeStored(key, 500 + i, Buffer.from('old'));
      operations.push({ type: 'put' as const, key: space.historyKey(key, 1000 + i), value: old });
    }
    for (const outside of ['a', 'y', 'z']) {
      const key = Buffer.from(outside);
      const value = encodeStored(key, 1, key);
      operations.push({ type: 'put' as const, key: space.dataKey(key), value });
      operations.push({ type: 'put' as const, key: space.historyKey(key, 2), value });
    }
    await this.one.turns.write(() => operations);
  }

  send(inVain: () => string | undefined = () => undefined): Promise<SendResult> {
    return this.one.transfers.send({
      replica: this.replica,
      toReplicaId: 2,
      toStore: toStoreId(2),
      term: 4,
      inVain,
    });
  }

  async run(ms: number): Promise<void> {
    const until = this.clock.nowMs() + ms;
    for (;;) {
      for (let quiet = 0; quiet < 6; quiet++) {
        this.clock.runTurn();
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      const now = this.clock.nowMs();
      if (now >= until) return;
      const next = this.clock.nextTimerAt() ?? Number.POSITIVE_INFINITY;
      this.clock.advance(Math.max(0.01, Math.min(next, until) - now));
    }
  }

  async settled<T>(promise: Promise<T>, ms = 60_000): Promise<T> {
    let done = false;
    void promise.finally(() => {
      done = true;
    });
    for (let waited = 0; !done && waited < ms; waited += 50) await this.run(50);
    expect(done).toBe(true);
    return promise;
  }

  /** What a transfer that ended leaves: nothing. */
  expectNothingHeld(): void {
    expect([this.one.transfers.sending, this.two.transfers.receiving]).toEqual([0, 0]);
    expect(this.one.failures).toEqual([]);
    expect(this.two.failures).toEqual([]);
  }
}
