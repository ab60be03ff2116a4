/** Groups that begin with a state, as one half of a split does. */
import { type RangeId, toLogIndex, toRangeId, toReplicaId, toTerm } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import { isStoreMessage } from '../store-messages.ts';
import { DriverCluster, type DriverNode } from '../testing/driver-cluster.ts';

const born = toRangeId(2);
const point = { index: toLogIndex(1), term: toTerm(1) };

async function settled(): Promise<DriverCluster> {
  const c = new DriverCluster({ ranges: 1 });
  await c.elected();
  await c.run(2000);
  return c;
}

async function begin(
  c: DriverCluster,
  node: DriverNode,
  campaigns: boolean,
): Promise<{ readonly fresh: boolean }> {
  const begun = node.raft.beginGroup(born, point);
  await c.settle();
  const { fresh } = await begun;
  node.machine.applied.set(born, { index: point.index, commands: [] });
  node.raft.addGroup({
    rangeId: born,
    self: toReplicaId(node.storeId),
    configuration: c.configuration,
    appliedIndex: point.index,
    freshGroup: fresh,
    campaigns: campaigns && fresh,
  });
  return { fresh };
}

function withoutState(node: DriverNode, rangeId: RangeId): void {
  node.raft.addGroup({
    rangeId,
    self: toReplicaId(node.storeId),
    configuration: undefined,
    appliedIndex: toLogIndex(0),
    freshGroup: false,
  });
}

describe('a group that begins', () => {
  it('has a log after the point, durable before the promise resolves', async () => {
    const c = await settled();
    const node = c.node(1);
    node.log.manual = true;
    let begun = false;
    void node.raft.beginGroup(born, point).then(() => {
      begun = true;
    });
    await c.settle();
    expect(begun).toBe(false);
    node.log.manual = false;
    node.log.completeSync();
    await c.settle();
    expect(begun).toBe(true);
    const log = node.log.group(born);
    expect([log.firstIndex(), log.lastIndex(), log.checkpointedIndex()]).toEqual([2, 1, 1]);
    expect(log.hardState()).toMatchObject({ currentTerm: 1, commitIndex: 1 });
  });

  it('is led without waiting for silence by the replica that campaigns', async () => {
    const c = await settled();
    for (const id of [2, 3]) await begin(c, c.node(id), false);
    expect(await begin(c, c.node(1), true)).toEqual({ fresh: true });
    await c.settle();
    expect(c.leader(born)).toBe(c.node(1));
    expect(c.node(1).machine.softStates.get(born)?.term).toBe(2);
    const asked = c.history.filter(
      ({ message }) => !isStoreMessage(message) && message.kind === 'preVoteRequest',
    );
    expect(asked.filter(({ message }) => 'rangeId' in message && message.rangeId === born)).toEqual(
      [],
    );
    c.propose(born, 'x');
    await c.run(500);
    for (const id of [1, 2, 3]) expect(c.commands(id, born)).toEqual(['x']);
  });

  it('is not fresh in a process that an earlier one may have promised for', async () => {
    const c = await settled();
    const node = c.restart(1);
    expect(await begin(c, node, true)).toEqual({ fresh: false });
    await c.run(900);
    expect(node.machine.softStates.get(born)?.role ?? 'follower').toBe('follower');
  });

  it('takes the place of a replica without a state, whose term and promise stay', async () => {
    const c = await settled();
    for (const id of [2, 1]) await begin(c, c.node(id), id === 1);
    await c.run(50);
    const late = c.node(3);
    withoutState(late, born);
    c.propose(born, 'w');
    await c.run(500);
    const { term } = c.node(1).machine.softStates.get(born) ?? {};
    expect(late.log.group(born).hardState().currentTerm).toBe(term);
    expect(await begin(c, late, true)).toEqual({ fresh: false });
    expect(late.log.group(born).hardState().currentTerm).toBe(term);
    c.propose(born, 'x');
    await c.run(1000);
    expect(c.leader(born)).toBe(c.node(1));
    expect(c.commands(3, born)).toEqual(['w', 'x']);
    expect(late.fatal).toBeUndefined();
  });

  it('has a majority with a replica that has no state yet, whose vote outlives it', async () => {
    const c = await settled();
    for (const id of [2, 1]) await begin(c, c.node(id), id === 1);
    await c.run(50);
    expect(c.leader(born)).toBe(c.node(1));
    c.propose(born, 'w');
    await c.run(500);
    c.node(1).cut = true;
    withoutState(c.node(3), born);
    await c.run(4000);
    const { role, term } = c.node(2).machine.softStates.get(born) ?? {};
    expect(role).toBe('leader');
    const voted = c.node(3).log.group(born).hardState();
    expect(voted).toMatchObject({ currentTerm: term, votedFor: 2 });
    c.node(3).raft.closeGroup(born);
    withoutState(c.node(3), born);
    await c.run(50);
    expect(c.node(3).raft.status(born)).toMatchObject({ term, votedFor: 2 });
  });
});

describe('what is committed', () => {
  it('is announced when it is applied, not with the next heartbeat', async () => {
    const c = await settled();
    const leader = c.leader();
    c.propose(toRangeId(1), 'x');
    await c.settle();
    expect(c.nodes.filter((node) => c.commands(node.storeId, toRangeId(1)).length > 0)).toEqual([
      leader,
    ]);
    leader?.raft.announceCommit(toRangeId(1));
    await c.settle();
    for (const id of [1, 2, 3]) expect(c.commands(id, toRangeId(1))).toEqual(['x']);
  });
});
