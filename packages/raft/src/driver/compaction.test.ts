import {
  type LogIndex,
  present,
  type RangeId,
  toLogIndex,
  toRangeId,
  toReplicaId,
} from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import { DriverCluster } from '../testing/driver-cluster.ts';
import { compactionIndex, groupsToLetGo } from './compaction.ts';
import type { SnapshotRequest } from './multi-raft.ts';

const at = (index: number): LogIndex => toLogIndex(index);

describe('how far a log is compacted', () => {
  const facts = {
    flushedIndex: at(100),
    replicatedIndex: at(40),
    neededIndexes: [at(70), at(60)],
    logBytes: 1000,
    retainedLogBytesMax: 1000,
    heldBytesMax: 2000,
  };

  it('up to what every member has, while the log is short', () => {
    expect(compactionIndex(facts)).toBe(40);
    expect(compactionIndex({ ...facts, replicatedIndex: at(200) })).toBe(100);
  });

  it('beyond what a member lacks when it is long, but not past what those need who catch up', () => {
    expect(compactionIndex({ ...facts, logBytes: 1001 })).toBe(60);
    expect(compactionIndex({ ...facts, logBytes: 1001, neededIndexes: [] })).toBe(100);
  });

  it('past everything but what is flushed when it is longer than that is worth', () => {
    expect(compactionIndex({ ...facts, logBytes: 2001 })).toBe(100);
    expect(compactionIndex({ ...facts, logBytes: 2001, heldBytesMax: 5000 })).toBe(60);
  });

  it('past who is away, not past who catches up, if nothing is kept for members that are away', () => {
    expect(compactionIndex({ ...facts, retainedLogBytesMax: 0 })).toBe(60);
  });

  it('of the longest logs first when all together are too long', () => {
    const logs = [30, 50, 20].map((logBytes, i) => ({ rangeId: toRangeId(i + 1), logBytes }));
    expect([...groupsToLetGo(logs, 0)]).toEqual([]);
    expect([...groupsToLetGo(logs, 50)]).toEqual([2]);
    expect([...groupsToLetGo(logs, 51)]).toEqual([2, 1]);
    expect([...groupsToLetGo(logs, 1000)]).toEqual([2, 1, 3]);
  });
});

describe('the log behind a snapshot that is on its way', () => {
  const [long, short] = [toRangeId(1), toRangeId(2)];
  const command = 'x'.repeat(100);

  /** One store is away; snapshots of both groups have been asked for it by their leader, and do not end. */
  async function sending(heldLogBytesMax: number, stateBytes: number) {
    const c = new DriverCluster({
      ranges: 2,
      driverLimits: { retainedLogBytesMax: 500, heldLogBytesMax },
    });
    await c.elected();
    await c.run(500);
    const leader = present(c.leader(long), 'leader');
    c.leader(short)?.raft.transferLeadership(short, toReplicaId(leader.storeId));
    await c.run(500);
    expect(c.leader(short)).toBe(leader);
    const away = present(
      c.nodes.find((node) => node !== leader),
      'another store',
    );
    for (const node of c.nodes) node.machine.stateSize = stateBytes;
    const requests = new Map<RangeId, SnapshotRequest>();
    const fail = new Map<RangeId, () => void>();
    for (const node of c.nodes)
      node.machine.onSnapshotWanted = (request) => {
        requests.set(request.rangeId, request);
        return new Promise((resolve) => {
          fail.set(request.rangeId, () => resolve({ ok: false, index: at(0) }));
        });
      };
    away.cut = true;
    await c.run(5000);
    for (const rangeId of [long, short]) await write(c, rangeId, 20);
    for (const rangeId of [long, short]) await checkpoint(c, rangeId);
    away.cut = false;
    await c.run(2000);
    expect([...requests.keys()].sort()).toEqual([long, short]);
    return { c, leader, away, requests, fail };
  }

  async function write(c: DriverCluster, rangeId: RangeId, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      c.propose(rangeId, command);
      await c.run(5);
    }
    await c.run(200);
  }

  async function checkpoint(c: DriverCluster, rangeId: RangeId): Promise<void> {
    const node = present(c.leader(rangeId), 'leader');
    const applied = new Map([long, short].map((each) => [each, node.machine.of(each).index]));
    await Promise.all([node.raft.checkpoint(applied, 1), c.run(50)]);
  }

  it('is kept as far as the snapshot is longer', async () => {
    const { c, requests } = await sending(1_000_000, 6000);
    const request = present(requests.get(long), 'known');
    const point = present(c.leader(long), 'leader').machine.of(long).index;
    await write(c, long, 40);
    await checkpoint(c, long);
    expect(present(c.leader(long), 'leader').log.group(long).bytes()).toBeGreaterThan(2000);
    expect(request.reaches(point)).toBe(true);
    await write(c, long, 60);
    await checkpoint(c, long);
    expect(request.reaches(point)).toBe(false);
  });

  it('is kept though one of an earlier leadership ends', async () => {
    const { c, leader, away, requests, fail } = await sending(1_000_000, 6000);
    const failFirst = present(fail.get(long), 'the first');
    const other = c.nodes.find((node) => node !== leader && node !== away);
    away.cut = true;
    leader.raft.transferLeadership(long, toReplicaId(present(other, 'another store').storeId));
    await c.run(500);
    expect(c.leader(long)).toBe(other);
    other?.raft.transferLeadership(long, toReplicaId(leader.storeId));
    await c.run(500);
    away.cut = false;
    requests.clear();
    await c.run(2000);
    expect(c.leader(long)).toBe(leader);
    const point = leader.machine.of(long).index;
    failFirst();
    await write(c, long, 40);
    await checkpoint(c, long);
    expect(present(requests.get(long), 'the second').reaches(point)).toBe(true);
  });

  it('is not kept for who is away where it is longest when the whole log is too long', async () => {
    const c = new DriverCluster({ ranges: 2, driverLimits: { heldLogBytesMax: 1500 } });
    await c.elected();
    const leader = present(c.leader(long), 'leader');
    c.leader(short)?.raft.transferLeadership(short, toReplicaId(leader.storeId));
    await c.run(500);
    const away = c.nodes.find((node) => node !== leader);
    present(away, 'another store').cut = true;
    await c.run(5000);
    await write(c, short, 5);
    await write(c, long, 10);
    await checkpoint(c, long);
    expect(leader.log.group(short).bytes()).toBe(500);
    expect(leader.log.group(long).bytes()).toBe(1000);
    await write(c, long, 10);
    await checkpoint(c, long);
    expect(leader.log.group(short).bytes()).toBe(500);
    expect(leader.log.group(long).bytes()).toBe(0);
  });

  it('is let go where it is longest when the whole log is too long', async () => {
    const { c, requests } = await sending(4500, 1_000_000);
    const points = new Map(
      [long, short].map((each) => [each, present(c.leader(each), 'leader').machine.of(each).index]),
    );
    await write(c, long, 40);
    await write(c, short, 15);
    for (const rangeId of [long, short]) await checkpoint(c, rangeId);
    const { log } = present(c.leader(long), 'leader');
    expect(log.sizeBytes()).toBeLessThan(4500);
    expect(present(requests.get(long), 'known').reaches(present(points.get(long), 'known'))).toBe(
      false,
    );
    expect(present(requests.get(short), 'known').reaches(present(points.get(short), 'known'))).toBe(
      true,
    );
  });
});
