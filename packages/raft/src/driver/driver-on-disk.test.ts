/** Three drivers, each on a real log on a disk that loses, tears and garbles what was not synced. */
import {
  type LogIndex,
  type RangeId,
  SeededPrng,
  type StoreId,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toStoreId,
} from '@flotilla/base';
import { ManualClock, MemoryDisk } from '@flotilla/base/testing';
import { describe, expect, it } from 'vitest';
import { decodeRaftMessage, encodeRaftMessage } from '../codec.ts';
import { openWriteAheadLog } from '../wal/open-write-ahead-log.ts';
import type { WriteAheadLog } from '../wal/write-ahead-log.ts';
import { createMultiRaft } from './create-multi-raft.ts';
import type { CommittedEntries, MultiRaft } from './multi-raft.ts';

const storeIds = [1, 2, 3].map(toStoreId);
const rangeIds = [1, 2, 3, 4, 5].map(toRangeId);

interface Applied {
  index: LogIndex;
  commands: string[];
}

/** A state machine whose state survives only from flush to flush. */
class Machine {
  state = new Map<RangeId, Applied>();
  private flushed = new Map<RangeId, Applied>();
  largestBatchBytes = 0;

  async apply(batch: readonly CommittedEntries[]): Promise<void> {
    let bytes = 0;
    for (const { rangeId, entries } of batch) {
      const applied = this.of(rangeId);
      for (const entry of entries) {
        expect(entry.index).toBe(applied.index + 1);
        applied.index = entry.index;
        bytes += entry.data.length;
        if (entry.kind === 'command') applied.commands.push(Buffer.from(entry.data).toString());
      }
    }
    this.largestBatchBytes = Math.max(this.largestBatchBytes, bytes);
  }
  onSoftState(): void {}

  of(rangeId: RangeId): Applied {
    let applied = this.state.get(rangeId);
    if (applied === undefined) {
      applied = { index: toLogIndex(0), commands: [] };
      this.state.set(rangeId, applied);
    }
    return applied;
  }
  flush(): ReadonlyMap<RangeId, LogIndex> {
    this.flushed = copyOf(this.state);
    return new Map([...this.flushed].map(([rangeId, { index }]) => [rangeId, index]));
  }
  crash(): void {
    this.state = copyOf(this.flushed);
  }
}

function copyOf(state: Map<RangeId, Applied>): Map<RangeId, Applied> {
  return new Map(
    [...state].map(([id, { index, commands }]) => [id, { index, commands: [...commands] }]),
  );
}

interface Machinery {
  readonly disk: MemoryDisk;
  readonly machine: Machine;
  raft: MultiRaft | undefined;
  wal: WriteAheadLog | undefined;
  lives: number;
}

class Cluster {
  readonly clock = new ManualClock();
  readonly prng: SeededPrng;
  readonly stores: Machinery[];
  readonly fatal: Error[] = [];
  private wire: { from: StoreId; to: StoreId; bytes: Uint8Array }[] = [];

  constructor(seed: number) {
    this.prng = new SeededPrng(seed);
    this.stores = storeIds.map((id) => ({
      disk: new MemoryDisk({ prng: new SeededPrng(seed, id) }),
      machine: new Machine(),
      raft: undefined,
      wal: undefined,
      lives: 0,
    }));
  }

  async start(storeId: StoreId, applyBatchBytesMax = 4096): Promise<void> {
    const store = this.store(storeId);
    const { lives, machine } = store;
    store.lives += 1;
    const wal = await openWriteAheadLog({
      disk: store.disk.session(),
      directory: 'wal',
      clock: this.clock,
      segmentBytes: 32 * 1024,
      prng: new SeededPrng(storeId, lives),
    });
    const alive = (): boolean => store.wal === wal;
    store.wal = wal;
    const raft = createMultiRaft({
      storeId,
      incarnation: lives + 1,
      clock: this.clock,
      prng: new SeededPrng(storeId * 31 + lives),
      wal,
      send: (to, message) => {
        if (alive()) this.wire.push({ from: storeId, to, bytes: encodeRaftMessage(message) });
      },
      stateMachine: {
        apply: (batch) => (alive() ? machine.apply(batch) : new Promise(() => {})),
        onSoftState: () => {},
        sendSnapshot: () => Promise.resolve({ ok: false, index: toLogIndex(0) }),
        onUnknownGroup: () => {},
      },
      onFatal: (error) => {
        if (alive()) this.fatal.push(error);
      },
      limits: { applyBytesMax: 1024 },
      driverLimits: { applyBatchBytesMax },
    });
    store.raft = raft;
    for (const rangeId of rangeIds)
      raft.addGroup({
        rangeId,
        self: toReplicaId(storeId),
        configuration: {
          voters: storeIds.map((id) => toReplicaId(id)),
          votersOutgoing: [],
          learners: [],
          storeOf: new Map(storeIds.map((id) => [toReplicaId(id), id])),
        },
        appliedIndex: machine.of(rangeId).index,
        freshGroup: lives === 0,
      });
  }

  crash(storeId: StoreId): void {
    const store = this.store(storeId);
    store.raft = undefined;
    store.wal = undefined;
    store.disk.crash();
    store.machine.crash();
  }

  store(storeId: StoreId): Machinery {
    const store = this.stores[storeId - 1];
    if (store === undefined) throw new Error(`no store ${storeId}`);
    return store;
  }

  async run(ms: number): Promise<void> {
    for (let at = 0; at < ms; at += 10) {
      this.clock.advance(10);
      for (let round = 0; round < 3; round++) {
        const wire = this.wire;
        this.wire = [];
        for (const { from, to, bytes } of wire) {
          const decoded = decodeRaftMessage(bytes);
          if (decoded.ok) this.store(to).raft?.receive(from, [decoded.message]);
        }
        this.clock.runTurn();
        await new Promise(setImmediate);
        this.clock.runTurn();
      }
    }
    if (this.fatal[0] !== undefined) throw this.fatal[0];
  }

  leader(rangeId: RangeId): Machinery | undefined {
    const leaders = this.stores.filter(({ raft }) => raft?.status(rangeId)?.role === 'leader');
    const term = ({ raft }: Machinery): number => raft?.status(rangeId)?.term ?? 0;
    return leaders.sort((a, b) => term(b) - term(a))[0];
  }

  async elected(): Promise<void> {
    for (let i = 0; i < 500 && rangeIds.some((id) => this.leader(id) === undefined); i++)
      await this.run(20);
  }
}

describe('drivers on real logs', () => {
  it.each([1, 2, 3, 4])(
    'keep every applied command through power losses (seed %i)',
    async (seed) => {
      const c = new Cluster(seed);
      for (const id of storeIds) await c.start(id);
      await c.elected();
      const acknowledged = new Map<RangeId, string[]>(rangeIds.map((id) => [id, []]));
      let next = 0;
      for (let round = 0; round < 12; round++) {
        for (let i = 0; i < 15; i++) {
          for (const id of rangeIds)
            c.leader(id)?.raft?.propose(id, Buffer.from(`c${next++} ${'x'.repeat(next % 300)}`));
          await c.run(10);
        }
        for (const { raft, machine } of c.stores)
          if (raft !== undefined && c.prng.nextBelow(2) === 0)
            void raft.checkpoint(machine.flush(), round);
        if (c.prng.nextBelow(3) === 0) await c.run(20);
        for (const id of rangeIds) {
          const applied = c.leader(id)?.machine.of(id).commands ?? [];
          const known = acknowledged.get(id) ?? [];
          expect(applied.slice(0, known.length)).toEqual(known.slice(0, applied.length));
          if (applied.length > known.length) acknowledged.set(id, [...applied]);
        }
        const victim = toStoreId(1 + c.prng.nextBelow(3));
        const all = c.prng.nextBelow(4) === 0;
        const victims = all ? storeIds : [victim];
        for (const id of victims) c.crash(id);
        if (!all) await c.run(c.prng.nextBelow(2) === 0 ? 0 : 1500);
        for (const id of victims) await c.start(id);
        await c.run(1400);
        await c.elected();
      }
      await c.run(1500);
      for (const rangeId of rangeIds) {
        const known = acknowledged.get(rangeId) ?? [];
        expect(known.length).toBeGreaterThan(30);
        const [first, ...others] = c.stores.map(({ machine }) => machine.of(rangeId).commands);
        expect(first?.slice(0, known.length)).toEqual(known);
        for (const other of others) expect(other).toEqual(first);
      }
    },
    30_000,
  );

  it('compacts and frees its log as checkpoints go by', async () => {
    const c = new Cluster(7);
    for (const id of storeIds) await c.start(id);
    await c.elected();
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 20; i++) {
        for (const id of rangeIds) c.leader(id)?.raft?.propose(id, Buffer.alloc(400, round));
        await c.run(10);
      }
      await c.run(400);
      const done = c.stores.map(({ raft, machine }) => raft?.checkpoint(machine.flush(), round));
      await c.run(50);
      await Promise.all(done);
    }
    for (const { wal } of c.stores) expect(wal?.sizeBytes()).toBeLessThan(5 * 32 * 1024);
    for (const { raft } of c.stores)
      expect(raft?.status(rangeIds[0] ?? toRangeId(1))?.firstIndex).toBeGreaterThan(150);
  });

  it('replays a long log in bounded pieces', async () => {
    const c = new Cluster(8);
    for (const id of storeIds) await c.start(id);
    await c.elected();
    const range = toRangeId(1);
    for (let i = 0; i < 60; i++) {
      for (let j = 0; j < 5; j++)
        c.leader(range)?.raft?.propose(range, Buffer.alloc(300, 65 + (i % 26)));
      await c.run(10);
    }
    await c.run(500);
    const expected = c.store(storeIds[0] ?? toStoreId(1)).machine.of(range).commands.length;
    expect(expected).toBe(300);
    for (const id of storeIds) c.crash(id);
    for (const id of storeIds) {
      c.store(id).machine.largestBatchBytes = 0;
      await c.start(id);
    }
    await c.elected();
    await c.run(500);
    for (const { machine } of c.stores) {
      expect(machine.of(range).commands).toHaveLength(expected);
      expect(machine.largestBatchBytes).toBeGreaterThan(0);
      expect(machine.largestBatchBytes).toBeLessThanOrEqual(4096 + 300);
    }
  });

  it('stops cleanly: leadership goes over, the log says so', async () => {
    const c = new Cluster(9);
    for (const id of storeIds) await c.start(id);
    await c.elected();
    await c.run(500);
    const led = c.leader(toRangeId(1));
    if (led === undefined) throw new Error('no leader');
    const id = toStoreId(1 + c.stores.indexOf(led));
    const stopped = led.raft?.stop({ transferTimeoutMs: 2000 });
    await c.run(400);
    await stopped;
    for (const rangeId of rangeIds) {
      const leader = c.stores.find(
        (store) => store !== led && store.raft?.status(rangeId)?.role === 'leader',
      );
      expect(leader).toBeDefined();
    }
    c.store(id).disk.kill();
    c.store(id).machine.crash();
    await c.start(id);
    expect(c.store(id).wal?.closedCleanly).toBe(true);
  });
});
