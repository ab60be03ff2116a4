/** When new work is refused, and when that ends; and who loses messages when a peer floods a store. */
import {
  silentLogger,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toStoreId,
  toTerm,
} from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import type { AppendEntriesRequest } from '../messages.ts';
import { DriverCluster } from '../testing/driver-cluster.ts';
import { Inbox } from './inbox.ts';
import { Hysteresis } from './load.ts';

const range = toRangeId(1);

describe('overload', () => {
  /** Asks for a second, in turns that each take `turnMs`. */
  function work(c: DriverCluster, turnMs: number): void {
    const callbacks: (() => void)[] = [];
    c.clock.afterTurn = (callback) => void callbacks.push(callback);
    for (let at = 0; at < 1100; at += turnMs) {
      c.node(1).raft.overload();
      c.clock.advance(turnMs);
      for (const callback of callbacks.splice(0)) callback();
    }
    Reflect.deleteProperty(c.clock, 'afterTurn');
    for (const callback of callbacks) c.clock.afterTurn(callback);
  }

  it('begins with a late loop, and ends when the loop is well again, not at once', () => {
    const c = new DriverCluster({ ranges: 1 });
    const { raft } = c.node(1);
    work(c, 5);
    expect(raft.overload()).toBe('none');
    work(c, 60);
    expect(raft.overload()).toBe('busy');
    expect(raft.health().loopDelayP99Ms).toBe(60);
    work(c, 40); // better, not well
    work(c, 40);
    expect(raft.overload()).toBe('busy');
    work(c, 5);
    work(c, 5);
    expect(raft.overload()).toBe('none');
  });

  it('is not declared for a pause of a store that has little to do', () => {
    const c = new DriverCluster({ ranges: 1 });
    const { raft } = c.node(1);
    for (let i = 0; i < 5; i++) {
      work(c, 20);
      raft.overload();
      c.clock.advance(300);
    }
    expect(raft.overload()).toBe('none');
  });

  it('ends by itself when nobody asked for a while', () => {
    const c = new DriverCluster({ ranges: 1 });
    const { raft } = c.node(1);
    work(c, 60);
    expect(raft.overload()).toBe('busy');
    c.clock.advance(5000);
    raft.overload();
    expect(raft.overload()).toBe('none');
  });

  it('begins with bytes that wait for the disk, over all groups, and ends below half of the limit', async () => {
    const c = new DriverCluster({ ranges: 4, driverLimits: { waitingBytesMax: 1000 } });
    await c.elected();
    const leader = c.leader(range);
    if (leader === undefined) throw new Error('no leader');
    for (const rangeId of c.rangeIds)
      if (c.leader(rangeId) !== leader) {
        const status = c.leader(rangeId)?.raft.status(rangeId);
        expect(status).toBeDefined();
        c.leader(rangeId)?.raft.transferLeadership(rangeId, toReplicaId(leader.storeId));
      }
    await c.run(500);
    leader.log.manual = true;
    for (const rangeId of c.rangeIds) leader.raft.propose(rangeId, Buffer.alloc(300));
    await c.settle();
    expect(leader.raft.health()).toMatchObject({ bytesToWrite: 1200 });
    expect(leader.raft.overload()).toBe('busy');
    leader.log.manual = false;
    leader.log.completeSync();
    await c.run(100);
    expect(leader.raft.health()).toMatchObject({ bytesToWrite: 0, bytesToApply: 0 });
    expect(leader.raft.overload()).toBe('none');
  });

  it('counts what waits for the state machine, also when it is never applied', async () => {
    const c = new DriverCluster({ ranges: 1 });
    await c.elected();
    const leader = c.leader(range);
    if (leader === undefined) throw new Error('no leader');
    leader.machine.hold = true;
    for (let i = 0; i < 3; i++) {
      leader.raft.propose(range, Buffer.alloc(100));
      await c.settle();
    }
    expect(leader.raft.health().bytesToApply).toBe(300);
    void leader.raft.removeGroup(range);
    expect(leader.raft.health().bytesToApply).toBe(100); // the batch under way
    leader.machine.finish();
    await c.settle();
    expect(leader.raft.health().bytesToApply).toBe(0);
  });

  it('hysteresis keeps its state between its bounds', () => {
    const h = new Hysteresis(5, 10);
    expect([4, 9, 10, 11, 9, 5, 4, 9].map((value) => h.update(value))).toEqual([
      false,
      false,
      false,
      true,
      true,
      true,
      false,
      false,
    ]);
  });
});

describe('a loop that stood still', () => {
  it('is counted with its length, and holds no lease over the time it slept', async () => {
    const c = new DriverCluster({ ranges: 1 });
    await c.elected();
    await c.run(1500);
    const leader = c.leader(range);
    if (leader === undefined) throw new Error('no leader');
    expect(leader.raft.leaseValid(range)).toBe(true);
    const callbacks: (() => void)[] = [];
    c.clock.afterTurn = (callback) => void callbacks.push(callback);
    const { setTimer } = c.clock;
    c.passes = () => false;
    // The machine sleeps: no timer runs until 3 s later, and then all do.
    const now = c.clock.nowMs.bind(c.clock);
    c.clock.nowMs = () => now() + 3000;
    c.clock.advance(250);
    expect(leader.raft.health().loopStalls).toBeGreaterThan(0);
    expect(leader.raft.health().longestLoopStallMs).toBeGreaterThanOrEqual(3000);
    expect(leader.raft.leaseValid(range)).toBe(false);
    expect(setTimer).toBe(c.clock.setTimer);
  });
});

describe('the inbox', () => {
  const append = (bytes: number): AppendEntriesRequest => ({
    kind: 'appendEntriesRequest',
    rangeId: range,
    from: toReplicaId(1),
    to: toReplicaId(2),
    term: toTerm(1),
    prevLogIndex: toLogIndex(0),
    prevLogTerm: toTerm(0),
    entries: [
      { index: toLogIndex(1), term: toTerm(1), kind: 'command', data: Buffer.alloc(bytes) },
    ],
    leaderCommit: toLogIndex(0),
    sentAtMs: 0,
    readSequence: 0,
    replicatedIndex: toLogIndex(0),
  });

  it('drops what one store sends too much of, and nothing of others', () => {
    const inbox = new Inbox(10_000, silentLogger);
    const flood = Array.from({ length: 30 }, () => append(1000));
    inbox.add(toStoreId(1), flood);
    inbox.add(toStoreId(2), [append(500)]);
    expect(inbox.dropped).toBe(22);
    expect(inbox.take().map(({ from }) => from)).toEqual([...Array(8).fill(1), 2]);
    inbox.add(toStoreId(1), [append(1000)]);
    expect(inbox.take()).toHaveLength(1);
    expect(inbox.dropped).toBe(22);
  });

  it('always takes heartbeats of stores', () => {
    const inbox = new Inbox(1, silentLogger);
    const delta = { base: 0, version: 0, complete: true, set: [], removed: [] };
    const heartbeat = {
      kind: 'storeHeartbeat' as const,
      incarnation: 1,
      toIncarnation: 0,
      sentAtMs: 1,
      logBatch: 0,
      heldVersion: 0,
      delta,
    };
    inbox.add(toStoreId(1), [append(10), append(10), heartbeat]);
    expect(inbox.take().map(({ message }) => message.kind)).toEqual([
      'appendEntriesRequest',
      'storeHeartbeat',
    ]);
  });
});
