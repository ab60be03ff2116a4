/** Groups that leave and come, and replicas that the driver has never heard of. */
import {
  type LogIndex,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toStoreId,
  toTerm,
} from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import type { RaftMessage } from '../messages.ts';
import { isStoreMessage } from '../store-messages.ts';
import { DriverCluster } from '../testing/driver-cluster.ts';
import { compactionIndex } from './compaction.ts';

const range = toRangeId(1);
const none = toLogIndex(0);

async function settled(ranges: number): Promise<DriverCluster> {
  const c = new DriverCluster({ ranges });
  await c.elected();
  await c.run(1000);
  return c;
}

function vote(to: number, replica: number): RaftMessage {
  return {
    kind: 'requestVoteRequest',
    rangeId: range,
    from: toReplicaId(replica),
    to: toReplicaId(to),
    term: toTerm(1),
    lastLogIndex: none,
    lastLogTerm: toTerm(0),
    leadershipTransfer: false,
  };
}

describe('a group that leaves', () => {
  it('is silent at once, and its log is forgotten before the promise resolves', async () => {
    const c = await settled(2);
    const node = c.node(2);
    node.log.manual = true;
    let gone = false;
    void node.raft.removeGroup(range).then(() => {
      gone = true;
    });
    expect(node.raft.hasGroup(range)).toBe(false);
    c.history = [];
    await c.run(200);
    expect(gone).toBe(false);
    expect(
      c.history.filter(
        ({ from, message }) =>
          from === node.storeId && !isStoreMessage(message) && message.rangeId === range,
      ),
    ).toEqual([]);
    node.log.manual = false;
    node.log.completeSync();
    await c.settle();
    expect(gone).toBe(true);
    expect(node.log.rangeIds()).toEqual([toRangeId(2)]);
    expect(node.raft.propose(range, Buffer.from('x')).ok).toBe(false);
    expect(await node.raft.readBarrier(range)).toMatchObject({ ok: false, reason: 'noSuchGroup' });
  });

  it('waits for the batch that is with the state machine, and drops what comes after', async () => {
    const c = await settled(1);
    const node = c.node(2);
    node.machine.hold = true;
    c.propose(range, 'a');
    await c.run(400);
    c.propose(range, 'b');
    await c.run(400);
    let gone = false;
    void node.raft.removeGroup(range).then(() => {
      gone = true;
    });
    await c.run(100);
    expect(gone).toBe(false);
    node.machine.hold = false;
    node.machine.finish();
    await c.run(100);
    expect(gone).toBe(true);
    expect(node.machine.of(range).commands).toEqual(['a']);
    expect(node.fatal).toBeUndefined();
  });

  it('fails its readers, while the others of its store go on', async () => {
    const c = await settled(6);
    const leader = c.leader(range);
    if (leader === undefined) throw new Error('no leader');
    c.clock.stepWall(60_000);
    c.passes = () => false;
    const grant = leader.raft.readBarrier(range);
    await c.settle();
    void leader.raft.removeGroup(range);
    expect(await grant).toMatchObject({ ok: false, reason: 'noSuchGroup' });
    c.passes = () => true;
    await c.run(3000);
    expect(c.leader(range)).toBeDefined();
    for (const id of c.rangeIds.slice(1)) c.propose(id, 'x');
    await c.run(1000);
    for (const id of c.rangeIds.slice(1)) expect(c.commands(leader.storeId, id)).toEqual(['x']);
  });

  it('may come back under another replica id, without the votes it had', async () => {
    const c = await settled(1);
    const node = c.node(2);
    await Promise.all([node.raft.removeGroup(range), c.run(50)]);
    node.raft.addGroup({
      rangeId: range,
      self: toReplicaId(9),
      configuration: {
        ...c.configuration,
        voters: [1, 3, 9].map(toReplicaId),
        storeOf: new Map([1, 3, 9].map((id) => [toReplicaId(id), toStoreId(id === 9 ? 2 : id)])),
      },
      appliedIndex: none,
      freshGroup: true,
    });
    expect(node.raft.status(range)).toMatchObject({ self: 9, term: 0, lastIndex: 0 });
  });
});

describe('what this store has not', () => {
  it('is told to the state machine: a group, and another replica of a group', async () => {
    const c = await settled(1);
    const node = c.node(2);
    const stranger = { ...vote(2, 3), rangeId: toRangeId(77) };
    const another = vote(8, 3);
    node.raft.receive(toStoreId(3), [stranger, another]);
    await c.settle();
    expect(node.machine.unknown).toEqual([
      { from: 3, message: stranger },
      { from: 3, message: another },
    ]);
  });
});

describe('how far a log is compacted', () => {
  const at = (index: number): LogIndex => toLogIndex(index);
  const facts = {
    flushedIndex: at(100),
    replicatedIndex: at(40),
    snapshotIndexes: [at(70), at(60)],
    logBytes: 1000,
    retainedLogBytesMax: 1000,
  };

  it('up to what every member has, while the log is short', () => {
    expect(compactionIndex(facts)).toBe(40);
    expect(compactionIndex({ ...facts, replicatedIndex: at(200) })).toBe(100);
  });

  it('beyond what a member lacks when it is long, but not past a snapshot under way', () => {
    expect(compactionIndex({ ...facts, logBytes: 1001 })).toBe(60);
    expect(compactionIndex({ ...facts, logBytes: 1001, snapshotIndexes: [] })).toBe(100);
  });

  it('past everything but what is flushed when it is twice too long', () => {
    expect(compactionIndex({ ...facts, logBytes: 2001 })).toBe(100);
  });
});
