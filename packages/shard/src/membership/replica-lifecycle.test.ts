/**
 * Installations and removals on a real log over a disk that loses power at every step. Consensus is played by hand: it
 * takes what it is told, writes it to the log as the driver does, and flips when that is durable.
 */
import {
  present,
  SeededPrng,
  silentLogger,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toStoreId,
  toTerm,
} from '@flotilla/base';
import { ManualClock, MemoryDisk } from '@flotilla/base/testing';
import {
  type GroupWrite,
  type MultiRaft,
  openWriteAheadLog,
  type WriteAheadLog,
} from '@flotilla/raft';
import { describe, expect, it } from 'vitest';
import { EngineTurns } from '../engine/engine-turns.ts';
import { type RangeDescriptor, ReplicaRole } from '../range-descriptor.ts';
import { Replica } from '../replica/replica.ts';
import { type Offer, SnapshotOutcome } from '../snapshot/messages.ts';
import { type RangeState, rangeCheckpointRow } from '../state/range-checkpoint.ts';
import { SessionTable } from '../state/session-table.ts';
import { storageIdsIn, tombstoneRow } from '../state/storage-census.ts';
import { StorageSpace } from '../state/storage-keys.ts';
import { encodeStored } from '../state/stored-value.ts';
import { TransactionState } from '../state/transaction-state.ts';
import { Checkpointer } from '../store/checkpointer.ts';
import { OneAtATime } from '../store/one-at-a-time.ts';
import { type RecoveredContents, recoverContents } from '../store/recovery.ts';
import { StorageReclaimer } from '../store/storage-reclaimer.ts';
import { MemoryEngine } from '../testing/memory-engine.ts';
import { WaitingRoom } from '../transaction/waiting-room.ts';
import { ReplicaLifecycle } from './replica-lifecycle.ts';

const rangeId = toRangeId(7);
const self = toStoreId(1);

function descriptor(generation: number, replicaId: number): RangeDescriptor {
  return {
    rangeId,
    startKey: Buffer.from('a'),
    endKey: Buffer.from('z'),
    generation,
    replicas: [
      { replicaId: toReplicaId(1), storeId: toStoreId(2) },
      { replicaId: toReplicaId(replicaId), storeId: self, role: ReplicaRole.LEARNER },
    ],
    nextReplicaId: toReplicaId(replicaId + 1),
  };
}

function stateAt(appliedIndex: number, storageId: number, replicaId = 3): RangeState {
  return {
    descriptor: descriptor(2, replicaId),
    replicaId,
    appliedIndex,
    appliedTerm: 2,
    storageId,
    lastTimestamp: appliedIndex,
    liveBytes: 0,
    historyBytes: 0,
    sessions: new SessionTable(),
    lastDeletion: 0,
    transactions: new TransactionState(),
  };
}

function offerOf(state: RangeState): Offer {
  return {
    kind: 'offer',
    small: false,
    snapshotId: 1,
    rangeId,
    fromReplicaId: 1,
    toReplicaId: state.replicaId,
    term: 2,
    index: state.appliedIndex,
    indexTerm: 2,
    descriptor: state.descriptor,
  };
}

/** One life of a store: what matters here of `member.ts`. */
class Life {
  readonly turns: EngineTurns;
  readonly replicas = new Map<number, Replica>();
  readonly checkpointer: Checkpointer;
  readonly lifecycle: ReplicaLifecycle;
  readonly engine: MemoryEngine;
  readonly wal: WriteAheadLog;
  private readonly reclaimer: StorageReclaimer;
  groups: number[] = [];
  settleBirths: () => Promise<void> = async () => {};
  readonly received: unknown[] = [];

  constructor(
    clock: ManualClock,
    engine: MemoryEngine,
    wal: WriteAheadLog,
    found: RecoveredContents,
  ) {
    this.engine = engine;
    this.wal = wal;
    this.turns = new EngineTurns(engine);
    const oneAtATime = new OneAtATime();
    const onFatal = (error: unknown): never => {
      throw error;
    };
    this.reclaimer = new StorageReclaimer({
      engine,
      turns: this.turns,
      rowsPerStep: 3,
      isStopping: () => false,
      onFatal,
    });
    const create = (state: RangeState): Replica => {
      const replica = new Replica(state, {
        observe: () => {},
        newWaitingRoom: () => new WaitingRoom(undefined, 1),
      } as never);
      this.replicas.set(state.descriptor.rangeId, replica);
      return replica;
    };
    this.checkpointer = new Checkpointer({
      engine,
      turns: this.turns,
      replicas: { values: () => this.lifecycle.values() },
      hlc: { now: () => 1000 } as never,
      commit: (applied, hlcUpperBound) =>
        wal.checkpoint(
          {
            applied: [...applied].map(([id, appliedIndex]) => ({ rangeId: id, appliedIndex })),
            hlcUpperBound,
          },
          [],
        ),
      remember: async () => {},
      applied: { isWhole: true, whenWhole: async () => {} },
      onTaken: () => {},
      checkpointed: found.checkpointed,
      oneAtATime,
    });
    this.lifecycle = new ReplicaLifecycle({
      storeId: self,
      clock,
      logger: silentLogger,
      engine,
      turns: this.turns,
      raft: () => this.consensus(),
      checkpointer: () => this.checkpointer,
      oneAtATime,
      replicas: this.replicas,
      createReplica: create,
      tombstones: found.tombstones,
      nextStorageId: found.nextStorageId,
      births: () => ({ settle: () => this.settleBirths(), onSettled: () => {} }),
      reclaim: (unused) => this.reclaimer.reclaim(unused),
      stopReceiving: () => {},
      isStopping: () => false,
      onFatal,
    });
    for (const state of found.ranges) create(state);
    for (const unused of found.unusedStorage) this.reclaimer.reclaim(unused);
    void this.turns.write(() => found.obsoleteRows.map((key) => ({ type: 'del', key })));
  }

  private consensus(): MultiRaft {
    const hardState = { currentTerm: toTerm(2), votedFor: undefined, commitIndex: toLogIndex(0) };
    const part: Partial<MultiRaft> = {
      addGroup: (options) => {
        this.groups.push(options.self);
        this.wal.group(options.rangeId);
      },
      receive: (_from, messages) => void this.received.push(...messages),
      installSnapshot: async (id, point) => {
        const snapshot = { index: point.lastIncludedIndex, term: point.lastIncludedTerm };
        await this.wal.append([{ rangeId: id, snapshot, hardState, entries: [] }]);
        await this.turns.write(() => {
          this.lifecycle.flip(id, point);
          return [];
        });
        return { ok: true, appliedIndex: point.lastIncludedIndex };
      },
      removeGroup: (id) =>
        this.wal.append([{ rangeId: id, removed: true, hardState: undefined, entries: [] }]),
    };
    return part as MultiRaft;
  }

  /** Rows of a state, as a transfer stages them. */
  async stage(storageId: number, mark: string): Promise<void> {
    const space = new StorageSpace(storageId);
    for (const name of ['b', 'c', 'd', 'e']) {
      const key = Buffer.from(name);
      const value = encodeStored(key, 5, Buffer.from(mark));
      const old = encodeStored(key, 4, Buffer.from('old'));
      await this.turns.write(() => [
        { type: 'put', key: space.dataKey(key), value },
        { type: 'put', key: space.historyKey(key, 5), value: old },
      ]);
    }
  }

  /** What every key of the range holds. */
  marks(): string[] {
    const replica = this.replicas.get(rangeId);
    if (replica === undefined) return [];
    return ['b', 'c', 'd', 'e'].map((name) => {
      const stored = this.engine.get(replica.space.dataKey(Buffer.from(name)));
      return stored === undefined ? 'missing' : stored.subarray(13).toString();
    });
  }
}

class Machine {
  readonly clock = new ManualClock();
  readonly prng: SeededPrng;
  readonly disk: MemoryDisk;
  engine = new MemoryEngine();
  life: Life | undefined;
  /** Operations of log and engine in this life. */
  operations = 0;
  crashAt = Number.POSITIVE_INFINITY;

  constructor(seed: number) {
    this.prng = new SeededPrng(seed);
    this.disk = new MemoryDisk({ prng: new SeededPrng(seed, 1), clock: this.clock });
  }

  get hasCrashed(): boolean {
    return this.life === undefined;
  }

  async open(): Promise<Life> {
    const disk = this.disk.session();
    const wal = await openWriteAheadLog({
      disk,
      directory: 'wal',
      clock: this.clock,
      segmentBytes: 64 * 1024,
      prng: this.prng,
    });
    const identity = { clusterId: wal.lastCheckpoint === undefined ? undefined : 'x' } as never;
    const life = new Life(
      this.clock,
      this.engine,
      wal,
      await recoverContents({ identity, engine: this.engine, wal, observe: () => {} }),
    );
    this.life = life;
    this.operations = 0;
    const count = (): void => {
      if (++this.operations === this.crashAt) this.crash();
    };
    this.engine.onOperation = count;
    // The log's writes count too.
    const append = wal.append.bind(wal);
    wal.append = (writes) => {
      const written = append(writes);
      count();
      return written;
    };
    return life;
  }

  crash(): void {
    this.life = undefined;
    this.disk.crash();
    this.engine = this.engine.crash(this.prng);
    this.crashAt = Number.POSITIVE_INFINITY;
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 60; i++) {
      this.clock.runTurn();
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }

  /** A replica that was here from the beginning, applied up to 10, checkpointed at 10. */
  async found(): Promise<void> {
    const life = await this.open();
    await life.stage(1, 'first');
    const state = stateAt(10, 1);
    await life.turns.write(() => [rangeCheckpointRow(state)]);
    await this.engine.flush();
    life.wal.group(rangeId);
    await life.wal.append([noops(1, 10)]);
    await life.wal.checkpoint(
      { applied: [{ rangeId, appliedIndex: toLogIndex(10) }], hlcUpperBound: 1 },
      [],
    );
    this.crash();
    await this.settle();
    await this.open();
  }
}

function noops(from: number, to: number): GroupWrite {
  return {
    rangeId,
    hardState: { currentTerm: toTerm(2), votedFor: undefined, commitIndex: toLogIndex(0) },
    entries: Array.from({ length: to - from + 1 }, (_, i) => ({
      index: toLogIndex(from + i),
      term: toTerm(2),
      kind: 'noop' as const,
      data: Buffer.alloc(0),
    })),
  };
}

/** Crashes at every operation of `work` in turn, and looks at what the next life finds. */
async function crashEverywhere(
  work: (life: Life) => Promise<unknown>,
  check: (life: Life, machine: Machine) => Promise<void>,
): Promise<{ runs: number; outcomes: Set<string> }> {
  const outcomes = new Set<string>();
  for (let at = 1; ; at++) {
    for (let seed = 1; seed <= 3; seed++) {
      const machine = new Machine(at * 10 + seed);
      await machine.found();
      machine.operations = 0;
      machine.crashAt = at;
      const life = present(machine.life, 'a life');
      void work(life);
      await machine.settle();
      const crashed = machine.hasCrashed;
      if (!crashed) machine.crash();
      await machine.settle();
      const next = await machine.open();
      await machine.settle();
      outcomes.add(`${next.replicas.get(rangeId)?.appliedIndex}`);
      await check(next, machine);
      if (!crashed) return { runs: at, outcomes };
    }
  }
}

async function expectSwept(life: Life, storages: number): Promise<void> {
  expect((await storageIdsIn(life.engine)).length).toBe(storages);
  const rows = life.engine.rows().filter(({ key }) => key[0] === 0x72);
  expect(rows.length).toBe(storages);
}

describe('power loss at every operation', () => {
  it('of an installation leaves the old state or the new one, whole, and nothing else', async () => {
    const { runs, outcomes } = await crashEverywhere(
      async (life) => {
        const storageId = life.lifecycle.newStorageId();
        await life.stage(storageId, 'second');
        const state = stateAt(50, storageId);
        expect(await life.lifecycle.install(offerOf(state), state)).toMatchObject({ ok: true });
        await life.checkpointer.run();
      },
      async (life) => {
        const replica = present(life.replicas.get(rangeId), 'the replica');
        const expected = replica.appliedIndex === 50 ? 'second' : 'first';
        expect(life.marks()).toEqual(Array.from({ length: 4 }, () => expected));
        expect(life.wal.group(rangeId).checkpointedIndex()).toBe(replica.appliedIndex);
        await expectSwept(life, 1);
      },
    );
    expect(runs).toBeGreaterThan(8);
    expect(outcomes).toEqual(new Set(['10', '50']));
  });

  it('of a first installation leaves nothing or the state', async () => {
    const other = toRangeId(8);
    const { outcomes } = await crashEverywhere(
      async (life) => {
        life.lifecycle.onUnknownGroup(toStoreId(2), {
          kind: 'appendEntriesRequest',
          rangeId: other,
          to: toReplicaId(5),
        } as never);
        await new Promise<void>((resolve) => setImmediate(resolve));
        await new Promise<void>((resolve) => setImmediate(resolve));
        const storageId = life.lifecycle.newStorageId();
        await life.stage(storageId, 'came');
        const state: RangeState = {
          ...stateAt(50, storageId, 5),
          descriptor: { ...descriptor(2, 5), rangeId: other },
        };
        await life.lifecycle.install({ ...offerOf(state), rangeId: other }, state);
      },
      async (life) => {
        const came = life.replicas.get(other);
        expect(life.marks()).toEqual(['first', 'first', 'first', 'first']);
        await expectSwept(life, came === undefined ? 1 : 2);
        expect(life.wal.rangeIds()).toEqual(came === undefined ? [rangeId] : [rangeId, other]);
      },
    );
    expect(outcomes).toEqual(new Set(['10']));
  });

  it('of a removal leaves the replica or its tombstone, never neither', async () => {
    const { outcomes } = await crashEverywhere(
      async (life) => {
        const proof = { ...descriptor(5, 3), replicas: descriptor(5, 3).replicas.slice(0, 1) };
        life.lifecycle.remove(rangeId, toReplicaId(3), proof);
      },
      async (life, machine) => {
        const lives = life.replicas.has(rangeId);
        expect(life.marks()).toEqual(lives ? ['first', 'first', 'first', 'first'] : []);
        await expectSwept(life, lives ? 1 : 0);
        if (lives) return;
        expect(life.wal.rangeIds()).toEqual([]);
        // A late message of a leader of long ago brings nothing to life; one for a newer replica does.
        for (const [to, expected] of [
          [3, []],
          [4, [4]],
        ] as const) {
          const message = { kind: 'appendEntriesRequest', rangeId, to: toReplicaId(to) } as never;
          life.lifecycle.onUnknownGroup(toStoreId(2), message);
          await machine.settle();
          expect(life.groups).toEqual([...expected]);
        }
      },
    );
    expect(outcomes).toEqual(new Set(['10', 'undefined']));
  });
});

describe('a replica', () => {
  it('stays where a split has made it between a call for it and the end of the turn', async () => {
    const machine = new Machine(1);
    const life = await machine.open();
    const call = { kind: 'preVoteRequest', rangeId, to: toReplicaId(3) } as never;
    life.lifecycle.onUnknownGroup(toStoreId(2), call);
    expect(life.lifecycle.expect(rangeId, toReplicaId(3))).toBe(true);
    life.lifecycle.deliver(stateAt(10, life.lifecycle.newStorageId()));
    await machine.settle();
    expect(life.replicas.get(rangeId)?.replicaId).toBe(3);
    expect(life.lifecycle.isAnyLeaving).toBe(false);
    expect(life.groups).toEqual([]);
    expect(life.received).toEqual([call]);
  });

  it('comes by what leaders and candidates say, and gives way to a newer one of the same range', async () => {
    const machine = new Machine(1);
    await machine.found();
    const life = present(machine.life, 'a life');
    const say = async (kind: string, to: number): Promise<void> => {
      life.lifecycle.onUnknownGroup(toStoreId(2), { kind, rangeId, to: toReplicaId(to) } as never);
      await machine.settle();
    };
    await say('requestVoteResponse', 9);
    await say('appendEntriesRequest', 2);
    await say('appendEntriesRequest', 3);
    expect(life.groups).toEqual([]);
    expect(life.replicas.has(rangeId)).toBe(true);
    // Its own id is older than one that was given out for this store: it was removed.
    await say('preVoteRequest', 6);
    expect(life.groups).toEqual([6]);
    expect(life.replicas.has(rangeId)).toBe(false);
    expect([...life.lifecycle.uninitialized.keys()]).toEqual([rangeId]);
    await expectSwept(life, 0);
    await say('appendEntriesRequest', 3);
    expect(life.groups).toEqual([6]);
  });

  it('that a split makes while a message calls for it stays', async () => {
    const machine = new Machine(1);
    const life = await machine.open();
    const state = stateAt(1, 9);
    const replicaId = toReplicaId(state.replicaId);
    life.lifecycle.onUnknownGroup(toStoreId(2), {
      kind: 'appendEntriesRequest',
      rangeId,
      to: replicaId,
    } as never);
    expect(life.lifecycle.expect(rangeId, replicaId)).toBe(true);
    life.lifecycle.deliver(state);
    await machine.settle();
    expect(life.replicas.get(rangeId)?.replicaId).toBe(replicaId);
  });

  it('whose first snapshot is on its way through the log is not made by a split as well', async () => {
    const machine = new Machine(1);
    const life = await machine.open();
    const { lifecycle, wal } = life;
    const replicaId = toReplicaId(3);
    const call = { kind: 'appendEntriesRequest', rangeId, to: replicaId } as never;
    lifecycle.onUnknownGroup(toStoreId(2), call);
    await machine.settle();
    // The left half has come by a snapshot of before the split, and catches up meanwhile.
    const append = wal.append.bind(wal);
    let made: boolean | undefined;
    wal.append = (writes) => {
      made ??= lifecycle.expect(rangeId, replicaId);
      return append(writes);
    };
    const state = stateAt(50, lifecycle.newStorageId());
    expect(await lifecycle.install(offerOf(state), state)).toMatchObject({ ok: true });
    expect(made).toBe(false);
    expect(life.replicas.get(rangeId)?.appliedIndex).toBe(50);
  });

  it('takes no snapshot for another replica, of an older index, or over another range', async () => {
    const machine = new Machine(1);
    await machine.found();
    const { lifecycle } = present(machine.life, 'a life');
    const good = stateAt(50, 9);
    expect(lifecycle.refuseOffer(offerOf(good))).toBeUndefined();
    expect(lifecycle.refuseOffer(offerOf(stateAt(50, 9, 4)))?.reason).toContain('no replica 4');
    expect(lifecycle.refuseOffer(offerOf(stateAt(10, 9)))?.reason).toContain('applied up to 10');
    expect(lifecycle.refuseState(offerOf(good), good)).toBeUndefined();
    expect(lifecycle.refuseState(offerOf(good), stateAt(49, 9))).toContain('older');
    const without = {
      ...good,
      descriptor: { ...good.descriptor, replicas: good.descriptor.replicas.slice(0, 1) },
    };
    expect(lifecycle.refuseState(offerOf(good), without)).toContain('no member');
    const other = { ...good, descriptor: { ...good.descriptor, rangeId: toRangeId(8) } };
    expect(lifecycle.refuseState({ ...offerOf(good), rangeId: 8 }, other)).toBe('overlaps r7');
  });

  it('takes no snapshot over a range that came while its rows did', async () => {
    const machine = new Machine(1);
    const { lifecycle, replicas, engine } = await machine.open();
    const left = stateAt(50, lifecycle.newStorageId());
    // What the left one is to be cut into, on the stores that are ahead.
    const right: RangeState = {
      ...stateAt(20, lifecycle.newStorageId()),
      descriptor: { ...left.descriptor, rangeId: toRangeId(8), startKey: Buffer.from('m') },
    };
    const offers = { left: offerOf(left), right: { ...offerOf(right), rangeId: 8 } };
    for (const { descriptor: wanted } of [left, right])
      lifecycle.onUnknownGroup(toStoreId(2), {
        kind: 'appendEntriesRequest',
        rangeId: wanted.rangeId,
        to: toReplicaId(3),
      } as never);
    await machine.settle();
    expect(lifecycle.refuseState(offers.right, right)).toBeUndefined();
    const both = [lifecycle.install(offers.left, left), lifecycle.install(offers.right, right)];
    expect(await Promise.all(both)).toMatchObject([
      { ok: true, index: 50 },
      { ok: false, outcome: SnapshotOutcome.SNAPSHOT_FAILED, reason: 'overlaps r7' },
    ]);
    expect([...replicas.keys()]).toEqual([7]);
    // It can still arise by the split that is to come.
    expect(lifecycle.isBeingReplaced(toRangeId(8))).toBe(false);
    expect(lifecycle.expect(toRangeId(8), toReplicaId(3))).toBe(true);
    expect(engine.rows().filter(({ key }) => key[0] === 0x72).length).toBe(1);
  });

  it('keeps the row of a checkpoint that was taken where a snapshot stands, while that was being installed', async () => {
    const machine = new Machine(1);
    await machine.found();
    const life = present(machine.life, 'a life');
    // Another leader had the log that this replica lacked, up to the very entry.
    life.settleBirths = async () => {
      await life.wal.append([noops(11, 12)]);
      const replica = present(life.replicas.get(rangeId), 'the replica');
      replica.appliedIndex = 12;
      await life.checkpointer.takeNow();
    };
    const raft = { installSnapshot: async () => ({ ok: false, reason: 'stale' }) } as never;
    (life as unknown as { consensus: () => MultiRaft }).consensus = () => raft;
    const state = stateAt(12, life.lifecycle.newStorageId());
    expect(await life.lifecycle.install(offerOf(state), state)).toMatchObject({
      ok: false,
      outcome: SnapshotOutcome.SNAPSHOT_STALE,
    });
    expect(life.lifecycle.isBeingReplaced(rangeId)).toBe(false);
    expect(life.lifecycle.isAnyLeaving).toBe(false);
    await life.engine.flush();
    machine.crash();
    const next = await machine.open();
    expect(next.replicas.get(rangeId)?.appliedIndex).toBe(12);
    expect(next.marks()).toEqual(['first', 'first', 'first', 'first']);
  });

  it('whose snapshot the log refuses keeps its state, and one that is undecided keeps both', async () => {
    for (const reason of ['stale', 'stopped'] as const) {
      const machine = new Machine(1);
      await machine.found();
      const life = present(machine.life, 'a life');
      const raft = { installSnapshot: async () => ({ ok: false, reason }) } as never;
      (life as unknown as { consensus: () => MultiRaft }).consensus = () => raft;
      const state = stateAt(50, life.lifecycle.newStorageId());
      const result = await life.lifecycle.install(offerOf(state), state);
      expect(result).toMatchObject({ ok: false });
      const rows = life.engine.rows().filter(({ key }) => key[0] === 0x72);
      expect(rows.length).toBe(reason === 'stale' ? 1 : 2);
      expect(life.marks()).toEqual(['first', 'first', 'first', 'first']);
    }
  });
});

it('a tombstone outlives the range row that it kills', async () => {
  const machine = new Machine(1);
  await machine.found();
  await present(machine.life, 'a life').turns.write(() => [tombstoneRow(rangeId, 4)]);
  await machine.engine.flush();
  machine.crash();
  const life = await machine.open();
  await machine.settle();
  expect(life.replicas.size).toBe(0);
  expect(life.wal.rangeIds()).toEqual([]);
  await expectSwept(life, 0);
});
