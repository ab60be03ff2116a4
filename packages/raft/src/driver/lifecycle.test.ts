/** Groups that leave and come, and replicas that the driver has never heard of. */
import { toLogIndex, toRangeId, toReplicaId, toStoreId, toTerm } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import type { RaftMessage } from '../messages.ts';
import { isStoreMessage } from '../store-messages.ts';
import { DriverCluster, type DriverNode } from '../testing/driver-cluster.ts';
import type { InstallResult } from './multi-raft.ts';

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
      configuration: undefined,
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

  it('is answered where it spoke from: a replica that the configuration does not name', async () => {
    const c = await settled(1);
    c.history = [];
    for (const id of [1, 2, 3]) c.node(id).raft.receive(toStoreId(3), [vote(id, 42)]);
    await c.settle();
    const answers = c.history.filter(({ message }) => message.kind === 'requestVoteResponse');
    for (const answer of answers) expect(answer).toMatchObject({ to: 3, message: { to: 42 } });
    expect(answers.length).toBeGreaterThan(0);
  });
});

describe('a member that the log does not reach', () => {
  /** Store 3 is away while the log moves on and is compacted. */
  async function behind(): Promise<{ c: DriverCluster; leader: DriverNode; away: DriverNode }> {
    const c = new DriverCluster({ ranges: 1, driverLimits: { retainedLogBytesMax: 0 } });
    await c.elected();
    await c.run(500);
    const leader = c.leader(range);
    const away = c.nodes.find((node) => node !== leader);
    if (leader === undefined || away === undefined) throw new Error('no leader');
    away.cut = true;
    for (let i = 0; i < 10; i++) {
      c.propose(range, `x${i}`);
      await c.run(50);
    }
    await Promise.all([
      leader.raft.checkpoint(new Map([[range, leader.machine.of(range).index]]), 1),
      c.run(50),
    ]);
    expect(leader.raft.status(range)?.firstIndex).toBeGreaterThan(10);
    return { c, leader, away };
  }

  /** What a snapshot of the leader's state brings to a store. */
  async function install(
    c: DriverCluster,
    leader: DriverNode,
    away: DriverNode,
  ): Promise<InstallResult> {
    const state = leader.machine.of(range);
    const status = leader.raft.status(range);
    away.machine.staged.set(range, { index: state.index, commands: [...state.commands] });
    return away.raft.installSnapshot(range, {
      from: toReplicaId(leader.storeId),
      term: status?.term ?? toTerm(0),
      lastIncludedIndex: state.index,
      lastIncludedTerm: leader.log.group(range).term(state.index),
      configuration: c.configuration,
    });
  }

  it('gets a snapshot, flips to it in its place in the line, and goes on with entries', async () => {
    const { c, leader, away } = await behind();
    let wanted = 0;
    leader.machine.onSnapshotWanted = async ({ to, storeId }) => {
      expect([to, storeId]).toEqual([away.storeId, away.storeId]);
      wanted++;
      if (wanted === 1) return { ok: false, index: none }; // refused: asked again
      const result = await install(c, leader, away);
      return result.ok ? { ok: true, index: result.appliedIndex } : { ok: false, index: none };
    };
    away.cut = false;
    await c.run(3000);
    expect(wanted).toBe(2);
    c.propose(range, 'after');
    await c.run(1000);
    expect(away.machine.of(range).commands).toEqual(leader.machine.of(range).commands);
    expect(away.log.group(range).checkpointedIndex()).toBeGreaterThan(10);
    c.history = [];
    await c.run(2000);
    expect(c.history.filter(({ message }) => !isStoreMessage(message))).toEqual([]);
  });

  it('applies it only when it is durable, and loses nothing when it dies before', async () => {
    const { c, leader, away } = await behind();
    away.log.manual = true;
    let result: InstallResult | undefined;
    void install(c, leader, away).then((outcome) => {
      result = outcome;
    });
    await c.settle();
    const before = away.machine.of(range).index;
    expect(before).toBeLessThan(10);
    expect(result).toBeUndefined();
    const again = await install(c, leader, away);
    expect(again).toEqual({ ok: false, reason: 'stale' }); // one is on its way already
    away.log.completeSync();
    await c.settle();
    expect(result).toEqual({ ok: true, appliedIndex: leader.machine.of(range).index });
    expect(away.machine.of(range).commands).toEqual(leader.machine.of(range).commands);
  });

  it('refuses what is stale or for others, and is undecided when it stops', async () => {
    const { c, leader, away } = await behind();
    const outcome = await Promise.all([install(c, leader, leader), c.settle()]);
    expect(outcome[0]).toEqual({ ok: false, reason: 'stale' });
    const point = {
      from: toReplicaId(leader.storeId),
      term: toTerm(9),
      lastIncludedIndex: toLogIndex(100),
      lastIncludedTerm: toTerm(1),
      configuration: {
        ...c.configuration,
        voters: [toReplicaId(77)],
        storeOf: new Map([[toReplicaId(77), toStoreId(7)]]),
      },
    };
    expect(await away.raft.installSnapshot(range, point)).toEqual({ ok: false, reason: 'unsafe' });
    expect(await away.raft.installSnapshot(toRangeId(5), point)).toEqual({
      ok: false,
      reason: 'noSuchGroup',
    });
    away.log.manual = true;
    const pending = install(c, leader, away);
    await c.settle();
    away.log.failNext = new Error('disk');
    away.log.completeSync();
    const removed = away.raft.removeGroup(range);
    expect(await pending).toEqual({ ok: false, reason: 'noSuchGroup' });
    away.log.manual = false;
    await expect(Promise.all([removed, c.settle()])).rejects.toThrow('disk');
  });
});
