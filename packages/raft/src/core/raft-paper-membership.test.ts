/**
 * One test per sentence of the rules on membership, snapshots and reads at followers (Raft §6, §7; thesis §4, §5, §6.4).
 * Titles begin with the section. The other rules: `raft-paper.test.ts`.
 */
import {
  type LogIndex,
  SeededPrng,
  toLogIndex,
  toReplicaId,
  toStoreId,
  toTerm,
} from '@flotilla/base';
import { describe, expect, test } from 'vitest';
import type { Configuration, SnapshotPoint } from '../messages.ts';
import { formatConfiguration } from '../testing/format.ts';
import { ManualGroup, type ManualGroupOptions } from '../testing/manual-group.ts';
import { MemoryLogStorage } from '../testing/memory-log-storage.ts';
import { createRaftCore } from './core.ts';
import { defaultLimits, defaultTimings } from './limits.ts';
import { changed, left } from './membership.ts';

const E = 1000;

/** Replica 1 leads; everyone has applied its no-op. */
function led(options: ManualGroupOptions = {}): ManualGroup {
  const group = new ManualGroup(options).start();
  group.elect(1);
  group.beat(1);
  group.network = [];
  group.events = [];
  return group;
}

/** The only voter, and leader. */
function alone(options: ManualGroupOptions = {}): ManualGroup {
  const group = new ManualGroup({ voters: 1, ...options }).start();
  group.elect(1);
  return group;
}

const roleOf = (group: ManualGroup, id: number): string => group.core(id).state.role.kind;
const commitOf = (group: ManualGroup, id: number): number => group.core(id).state.commitIndex;
const inForce = (group: ManualGroup, id: number): string =>
  formatConfiguration(group.core(id).configuration);
const events = (group: ManualGroup, of: string): string[] =>
  group.events.filter((line) => line.includes(of));

/** Replicas 1 to 3 lead on without 4, a learner without a state. */
function withNewcomer(): ManualGroup {
  const group = led({ spares: 1 });
  group.addLearner(1, 4);
  group.create(4);
  group.settle();
  return group;
}

describe('configurations in the log', () => {
  test('§6: each server uses the latest configuration in its log, committed or not', () => {
    const group = led({ learners: 1 });
    group.changeVoters(1, [4], []);
    expect(inForce(group, 1)).toBe('{1 2 3 4 from 1 2 3}');
    group.take(1);
    group.deliver({ to: 2 });
    expect([inForce(group, 2), commitOf(group, 2)]).toEqual(['{1 2 3 4 from 1 2 3}', 1]);
  });

  test('thesis §4.1: a server whose configuration entry is removed falls back to the one before', () => {
    const group = led({ learners: 1 });
    group.changeVoters(1, [4], []);
    group.settle([1]);
    group.drop();
    group.crash(1);
    group.elect(2, [2, 3, 4]);
    group.restart(1);
    expect(inForce(group, 1)).toBe('{1 2 3 4 from 1 2 3}');
    group.beat(2);
    group.beat(2);
    expect(inForce(group, 1)).toBe('{1 2 3 learners 4}');
    expect(group.core(1).status(group.now)).toMatchObject({ configurationPending: false });
  });

  test('§6: a restarted server knows the configurations of its log, above what it has applied', () => {
    const group = led({ learners: 1 });
    group.changeVoters(1, [4], []);
    group.settle([1, 2]);
    group.crash(2);
    group.restart(2);
    expect(inForce(group, 2)).toBe('{1 2 3 4 from 1 2 3}');
  });

  test('thesis §4.2.1: a learner campaigns never, but knows no leader any more when it hears none', () => {
    const group = withNewcomer();
    expect(group.core(4).status(group.now).leader).toBe(1);
    group.crash(1);
    group.wait(3 * E);
    group.tick(4);
    expect(group.core(4).status(group.now)).toMatchObject({ role: 'follower', leader: undefined });
    expect(group.network).toEqual([]);
  });

  test('§6: log entries are replicated to all servers of both configurations', () => {
    const group = led({ learners: 1 });
    group.changeVoters(1, [4], [3]);
    group.take(1);
    expect(group.network.map((message) => message.to)).toEqual([2, 3, 4]);
  });

  test('§6: any server of either configuration may lead', () => {
    const group = led({ learners: 1 });
    group.changeVoters(1, [4], [3]);
    group.take(1);
    group.deliver();
    for (const id of [2, 3, 4]) group.run(id);
    group.crash(1);
    group.drop();
    group.wait(3 * E);
    group.tick(3); // only the outgoing configuration has it
    group.settle();
    expect(events(group, 'r1/3 leader t2').length).toBe(1);
  });

  test('§6: agreement needs separate majorities of the old and the new configuration', () => {
    const group = led({ learners: 2 });
    group.changeVoters(1, [4, 5], [2, 3]);
    group.settle([1, 4, 5]); // all of the new one
    expect(commitOf(group, 1)).toBe(1);
    group.settle([1, 2]); // and a majority of the old one
    expect(commitOf(group, 1)).toBeGreaterThanOrEqual(2);
  });

  test('§6: elections need separate majorities of the old and the new configuration', () => {
    const group = led({ learners: 2 });
    group.changeVoters(1, [4, 5], [2, 3]);
    group.take(1);
    group.deliver();
    for (const id of [2, 3, 4, 5]) group.run(id);
    group.crash(1);
    group.drop();
    group.wait(3 * E);
    group.tick(2);
    group.settle([2, 3]);
    expect(roleOf(group, 2)).toBe('preCandidate');
    group.settle([2, 3, 4, 5]);
    expect(events(group, 'r1/2 leader t2').length).toBe(1);
  });

  test('§6: once the joint configuration is committed, the leader goes on to the new one', () => {
    const group = led({ learners: 1 });
    group.changeVoters(1, [4], [3]);
    group.settle();
    expect(inForce(group, 1)).toBe('{1 2 4 learners 3}');
    expect(group.core(1).status(group.now).configurationPending).toBe(false);
  });

  test('thesis §4.3: a leader that finds a committed joint configuration leaves it in its term', () => {
    const group = led({ learners: 1 });
    group.changeVoters(1, [4], [3]);
    group.take(1);
    group.deliver();
    for (const id of [2, 3, 4]) group.run(id);
    group.deliver({ to: 1 });
    group.run(1);
    expect(inForce(group, 1)).toBe('{1 2 4 learners 3}'); // committed and left, and nobody hears of it
    group.drop();
    group.crash(1);
    expect(inForce(group, 2)).toBe('{1 2 4 from 1 2 3}');
    group.elect(2, [2, 3, 4]);
    group.settle();
    expect([inForce(group, 2), inForce(group, 4)]).toEqual(Array(2).fill('{1 2 4 learners 3}'));
    expect(group.terms(2)).toEqual([1, 1, 2, 2]);
  });

  test('thesis §4.3: changes of voters are always joint, also of one', () => {
    const group = led({ learners: 1 });
    group.changeVoters(1, [4], []);
    expect(inForce(group, 1)).toBe('{1 2 3 4 from 1 2 3}');
  });
});

describe('changes', () => {
  test('thesis §4.1: a new change begins only when the one before is committed', () => {
    const group = led({ learners: 1, spares: 2 });
    expect(group.addLearner(1, 5).ok).toBe(true);
    expect(group.addLearner(1, 6)).toMatchObject({ reason: 'changePending' });
    group.settle();
    expect(group.changeVoters(1, [4], [])).toMatchObject({ ok: true });
    group.settle([1, 2]); // the joint one is committed and left; the new one is not committed
    expect(group.addLearner(1, 6)).toMatchObject({ reason: 'changePending' });
    group.settle();
    expect(group.addLearner(1, 6).ok).toBe(true);
  });

  test('thesis §4.1: no change before the leader has committed an entry of its term', () => {
    const group = led({ spares: 1 });
    group.crash(1);
    group.wait(2 * E);
    group.tick(2);
    for (let i = 0; i < 2; i++) {
      group.run(2);
      group.deliver({ to: 3 });
      group.run(3);
      group.deliver({ to: 2 });
    }
    expect(roleOf(group, 2)).toBe('leader');
    expect(group.addLearner(2, 4)).toMatchObject({ reason: 'notReady' });
    group.settle([2, 3]);
    expect(group.addLearner(2, 4).ok).toBe(true);
  });

  test('§6: only a leader changes the configuration, and not during a transfer', () => {
    const group = led({ spares: 1 });
    expect(group.addLearner(2, 4)).toEqual({ ok: false, reason: 'notLeader', leader: 1 });
    group.act(1, (core, now) => core.transferLeadership(toReplicaId(2), now));
    expect(group.addLearner(1, 4)).toMatchObject({ reason: 'transferring' });
  });

  test('thesis §4.2.1: a new server joins as a learner, and is promoted once it has caught up', () => {
    const group = withNewcomer();
    expect(group.changeVoters(1, [4], [])).toMatchObject({ reason: 'notCaughtUp' });
    group.install(1, 4);
    group.settle();
    expect(group.changeVoters(1, [4], []).ok).toBe(true);
  });

  test('thesis §4.2.1: a learner that is silent is not promoted', () => {
    const group = led({ learners: 1 });
    for (let beat = 0; beat < 6; beat++) group.beat(1, [1, 2, 3]);
    expect(group.changeVoters(1, [4], [])).toMatchObject({ reason: 'notCaughtUp' });
  });

  test('§6: new servers are not counted: without them and with a slow majority nothing waits', () => {
    const group = alone({ spares: 1 });
    group.addLearner(1, 2);
    group.propose(1, 'x');
    group.run(1);
    expect(commitOf(group, 1)).toBe(3);
  });

  test('a voter is never removed directly, and nonsense is refused', () => {
    const group = led({ learners: 1 });
    expect(group.removeLearner(1, 2)).toMatchObject({ reason: 'invalid' });
    expect(group.addLearner(1, 2)).toMatchObject({ reason: 'invalid' });
    expect(group.changeVoters(1, [2], [])).toMatchObject({ reason: 'invalid' });
    expect(group.changeVoters(1, [], [4])).toMatchObject({ reason: 'invalid' });
    expect(group.changeVoters(1, [], [1, 2, 3])).toMatchObject({ reason: 'invalid' });
    expect(group.changeVoters(1, [4, 4], [])).toMatchObject({ reason: 'invalid' });
    expect(group.changeVoters(1, [], [])).toMatchObject({ reason: 'invalid' });
  });

  test('where members live goes with them', () => {
    const ids = (...numbers: number[]) => numbers.map(toReplicaId);
    const start: Configuration = {
      voters: ids(1),
      votersOutgoing: [],
      learners: [],
      storeOf: new Map([[toReplicaId(1), toStoreId(7)]]),
    };
    const [replicaId, storeId] = [toReplicaId(2), toStoreId(9)];
    const added = changed(start, { kind: 'addLearner', replicaId, storeId });
    expect([...(added?.storeOf ?? [])]).toEqual([
      [1, 7],
      [2, 9],
    ]);
    const joint = changed(added ?? start, {
      kind: 'changeVoters',
      promote: ids(2),
      demote: ids(1),
    });
    expect(formatConfiguration(joint)).toBe('{2 from 1}');
    const final = left(joint ?? start);
    expect(formatConfiguration(final)).toBe('{2 learners 1}');
    const removed = changed(final, { kind: 'removeLearner', replicaId: toReplicaId(1) });
    expect([...(removed?.storeOf ?? [])]).toEqual([[2, 9]]);
  });
});

describe('leaders that go and servers that disturb', () => {
  test('thesis §4.2.2: a leader that is to lose its vote hands over to one that keeps it', () => {
    const group = led({ learners: 1 });
    group.changeVoters(1, [4], [1]);
    group.settle();
    const leader = [2, 3, 4].find((id) => roleOf(group, id) === 'leader') ?? 0;
    expect([roleOf(group, 1), leader > 1]).toEqual(['follower', true]);
    group.beat(leader);
    expect(inForce(group, 1)).toBe('{2 3 4 learners 1}');
  });

  test('thesis §4.2.2: if nobody takes over, it steps down when its removal is committed', () => {
    const group = led({ learners: 1 });
    group.changeVoters(1, [4], [1]);
    for (let i = 0; i < 20 && roleOf(group, 1) === 'leader'; i++) {
      group.settle([1]);
      for (const id of [2, 3, 4]) {
        group.deliver({ to: id, kind: 'appendEntriesRequest' });
        group.run(id);
        group.deliver({ from: id, to: 1 });
      }
      group.drop({ kind: 'timeoutNow' });
      group.wait(200);
      if (roleOf(group, 1) === 'leader') group.tick(1);
    }
    expect(inForce(group, 1)).toBe('{2 3 4 learners 1}');
    const { commitIndex, configurationIndex, role, term } = group.core(1).status(group.now);
    expect([role, term, commitIndex >= configurationIndex]).toEqual(['follower', 1, true]);
  });

  test('thesis §4.2.2: a leader does not count itself while its removal is not committed', () => {
    const group = led({ voters: 2 });
    group.changeVoters(1, [], [1]);
    group.settle([1, 2]);
    // The heir was 2; from now on 1 alone is no majority.
    expect(roleOf(group, 2)).toBe('leader');
    group.beat(2);
    expect(inForce(group, 1)).toBe('{2 learners 1}');
    const before = commitOf(group, 2);
    group.propose(2, 'x');
    group.run(2);
    expect(commitOf(group, 2)).toBe(before + 1); // 2 alone is the majority
  });

  test('thesis §4.2.2: a server outside of its own latest configuration still stands for election', () => {
    const group = led({ voters: 2 });
    group.changeVoters(1, [], [1]);
    group.run(1);
    group.deliver({ to: 2 });
    group.run(2);
    group.deliver({ to: 1 });
    group.run(1);
    group.drop(); // the TimeoutNow is lost
    for (let beat = 0; beat < 10; beat++) {
      group.beat(1, [1]);
      if (inForce(group, 1) === '{2 learners 1}') break; // nobody has taken over within E
      group.drop({ kind: 'timeoutNow' });
      group.deliver({ to: 2 });
      group.run(2);
      group.deliver({ to: 1 });
    }
    expect(inForce(group, 1)).toBe('{2 learners 1}');
    group.run(1); // its entry is durable, and at 2 it is not
    group.drop();
    group.crash(1);
    group.restart(1);
    // Only the log of 1 can win: 2 needs its vote and does not get it.
    group.wait(2 * E);
    group.tick(2);
    group.settle();
    expect(roleOf(group, 2)).not.toBe('leader');
    group.wait(2 * E);
    group.events = [];
    group.tick(1);
    group.settle();
    expect(events(group, 'r1/1 leader').length).toBe(1);
    expect(inForce(group, 2)).toBe('{2 learners 1}');
    expect(roleOf(group, 1)).toBe('follower'); // it has stepped down
  });

  test('thesis §4.2.3: a removed server cannot disturb: it gets no votes and raises no term', () => {
    const group = led({ learners: 1 });
    group.changeVoters(1, [4], [3]);
    group.settle([1, 2, 4]); // 3 hears nothing of it
    group.removeLearner(1, 3);
    group.settle([1, 2, 4]);
    group.drop();
    expect([inForce(group, 1), inForce(group, 3)]).toEqual(['{1 2 4}', '{1 2 3 learners 4}']);
    const term = group.core(1).state.currentTerm;
    for (let round = 0; round < 5; round++) {
      group.wait(600);
      group.tick(3);
      group.settle();
      group.beat(1, [1, 2, 4]);
    }
    expect([roleOf(group, 1), group.core(1).state.currentTerm]).toEqual(['leader', term]);
    expect(events(group, 'r1/3 preCandidate').length).toBeGreaterThan(1);
    expect(group.core(3).state.currentTerm).toBe(term);
  });

  test('§6: servers obey a leader that their configuration does not name, and vote for such candidates', () => {
    const group = led();
    group.step(9, 2, {
      kind: 'appendEntriesRequest',
      term: toTerm(3),
      prevLogIndex: toLogIndex(1),
      prevLogTerm: toTerm(1),
      entries: [],
      leaderCommit: toLogIndex(1),
      sentAtMs: 1,
      readSequence: 0,
      replicatedIndex: toLogIndex(0),
    });
    expect(group.core(2).status(group.now)).toMatchObject({ leader: 9, term: 3 });
    group.step(8, 3, {
      kind: 'requestVoteRequest',
      term: toTerm(4),
      lastLogIndex: toLogIndex(5),
      lastLogTerm: toTerm(3),
      leadershipTransfer: true,
    });
    group.run(3);
    expect(group.drop({ from: 3, to: 8 })).toMatchObject([{ voteGranted: true }]);
  });

  test('acks, votes and terms of servers that were removed count for nothing', () => {
    const group = led({ learners: 1 });
    group.removeLearner(1, 4);
    group.settle();
    group.propose(1, 'x');
    group.run(1);
    const before = commitOf(group, 1);
    for (const term of [1, 9])
      group.step(4, 1, {
        kind: 'appendEntriesResponse',
        term: toTerm(term),
        success: true,
        matchIndex: toLogIndex(3),
        rejectedIndex: toLogIndex(0),
        conflictTerm: toTerm(0),
        conflictIndex: toLogIndex(0),
        sentAtMs: group.now,
        readSequence: 0,
        needsSnapshot: false,
        commitIndex: toLogIndex(0),
      });
    expect([commitOf(group, 1), roleOf(group, 1)]).toEqual([before, 'leader']);
  });

  test('L1: in joint consensus the lease needs both majorities', () => {
    const group = led({ learners: 2 });
    group.changeVoters(1, [4, 5], [2, 3]);
    group.settle([1]);
    group.wait(850);
    expect(group.core(1).leaseValid(group.now)).toBe(true); // still from the echoes before
    for (let beat = 0; beat < 3; beat++) group.beat(1, [1, 4, 5]);
    group.wait(100);
    expect(group.core(1).leaseValid(group.now)).toBe(false);
  });

  test('L3: a sole voter that restarts waits like any other, unless it is the only member', () => {
    const group = alone({ learners: 1 });
    group.crash(1);
    group.restart(1);
    expect(group.core(1).nextDeadline()).toBeGreaterThanOrEqual(group.now + E);
    const other = alone();
    other.crash(1);
    other.restart(1);
    expect(other.core(1).nextDeadline()).toBe(other.now);
  });

  test('thesis §3.10: leadership is not handed to one that loses its vote or waits for a snapshot', () => {
    const group = led({ learners: 1 });
    group.changeVoters(1, [4], [3]);
    const transfer = (to: number) =>
      group.act(1, (core, now) => core.transferLeadership(toReplicaId(to), now));
    expect(transfer(3)).toEqual({ ok: false, reason: 'notVoter' });
    const { role } = group.core(1).state;
    if (role.kind === 'leader') role.progress.get(toReplicaId(2))?.becomeSnapshot();
    expect(transfer(2)).toEqual({ ok: false, reason: 'notReady' });
  });
});

describe('snapshots', () => {
  function behind(): ManualGroup {
    const group = led();
    for (const text of ['a', 'b', 'c']) group.propose(1, text);
    group.settle([1, 2]);
    group.beat(1, [1, 2]);
    group.drop();
    group.compact(1, 4);
    return group;
  }

  test('§7: a leader that has discarded what a follower needs sends a snapshot, one at a time', () => {
    const group = behind();
    group.beat(1);
    group.beat(1);
    expect(events(group, 'wants a snapshot for 3').length).toBe(1);
    expect(group.core(1).status(group.now).progress[2]).toMatchObject({ state: 'snapshot' });
  });

  test('§7: an attempt that fails is repeated, later and later', () => {
    const group = behind();
    group.beat(1);
    const gaps: number[] = [];
    for (let attempt = 1; attempt <= 6; attempt++) {
      const failedAt = group.now;
      group.sent(1, 3, { ok: false, index: toLogIndex(0) });
      while (events(group, 'wants a snapshot for 3').length === attempt) group.beat(1);
      gaps.push(group.now - failedAt);
    }
    expect(gaps).toEqual([200, 400, 800, 1600, 3200, 4000]);
  });

  test('§7: a snapshot of new information replaces the log', () => {
    const group = behind();
    expect(group.install(1, 3)).toBe(true);
    group.run(3);
    expect(group.core(3).status(group.now)).toMatchObject({
      firstIndex: 5,
      lastIndex: 4,
      commitIndex: 4,
      lastApplied: 4,
      persistedIndex: 4,
    });
    group.settle();
    expect(group.core(1).status(group.now).progress[2]).toMatchObject({
      matchIndex: 4,
      state: 'replicate',
    });
  });

  test('§7: if the log holds the last included entry, what follows it is retained', () => {
    const group = led();
    for (const text of ['a', 'b', 'c']) group.propose(1, text);
    group.run(1);
    group.deliver({ to: 2 });
    group.run(2); // stored, not known to be committed
    const snapshot: SnapshotPoint = {
      ...group.snapshotOf(1),
      lastIncludedIndex: toLogIndex(3),
      lastIncludedTerm: toTerm(1),
    };
    expect(group.install(1, 2, snapshot)).toBe(true);
    group.run(2);
    expect(group.core(2).status(group.now)).toMatchObject({
      firstIndex: 4,
      lastIndex: 4,
      commitIndex: 3,
      persistedIndex: 4,
    });
  });

  test('§7: entries that conflict with it are discarded, and with them their configurations', () => {
    const group = led({ learners: 1 });
    group.changeVoters(1, [4], []);
    group.settle([1]); // joint at i2, nowhere else
    group.drop();
    group.crash(1);
    group.elect(2, [2, 3, 4]);
    group.propose(2, 'x');
    group.settle([2, 3, 4]);
    group.restart(1);
    expect(inForce(group, 1)).toBe('{1 2 3 4 from 1 2 3}');
    expect(group.install(2, 1)).toBe(true);
    expect(inForce(group, 1)).toBe('{1 2 3 learners 4}');
    group.run(1);
    expect(group.core(1).status(group.now)).toMatchObject({ firstIndex: 4, lastIndex: 3, term: 2 });
  });

  test('§7: a snapshot of what is committed here, or of an older term, is refused', () => {
    const group = behind();
    const snapshot = group.snapshotOf(1);
    expect(group.install(1, 2)).toBe(false);
    group.step(2, 3, { kind: 'requestVoteResponse', term: toTerm(5), voteGranted: false });
    expect(group.install(1, 3, snapshot)).toBe(false);
    const lie = { ...snapshot, term: toTerm(6), lastIncludedTerm: toTerm(7) };
    expect(group.install(1, 3, lie)).toBe(false);
    expect(group.core(3).status(group.now).term).toBe(5);
  });

  test('thesis §5: nothing after a snapshot is applied before it is durable', () => {
    const group = behind();
    const snapshot: SnapshotPoint = { ...group.snapshotOf(1), lastIncludedIndex: toLogIndex(3) };
    group.install(1, 3, snapshot);
    const ready = group.take(3);
    expect(ready?.snapshot?.lastIncludedIndex).toBe(3);
    group.step(1, 3, {
      kind: 'appendEntriesRequest',
      term: toTerm(1),
      prevLogIndex: toLogIndex(3),
      prevLogTerm: toTerm(1),
      entries: [{ index: 4 as LogIndex, term: toTerm(1), kind: 'noop', data: new Uint8Array(0) }],
      leaderCommit: toLogIndex(4),
      sentAtMs: 1,
      readSequence: 0,
      replicatedIndex: toLogIndex(0),
    });
    expect(group.take(3)?.committed).toEqual([]);
    expect(group.install(1, 3)).toBe(false); // one at a time
    group.sync(3);
    expect(group.core(3).status(group.now)).toMatchObject({ persistedIndex: 3, lastApplied: 3 });
    group.run(3);
    expect(group.core(3).status(group.now)).toMatchObject({ persistedIndex: 4, lastApplied: 4 });
  });

  test('thesis §3.8 (ABA): a write of entries that a snapshot discarded makes nothing durable', () => {
    const group = led();
    const entry = (index: number, term: number) => ({
      index: toLogIndex(index),
      term: toTerm(term),
      kind: 'noop' as const,
      data: new Uint8Array(0),
    });
    group.step(1, 2, {
      kind: 'appendEntriesRequest',
      term: toTerm(1),
      prevLogIndex: toLogIndex(1),
      prevLogTerm: toTerm(1),
      entries: [entry(2, 1), entry(3, 1), entry(4, 1), entry(5, 1)],
      leaderCommit: toLogIndex(1),
      sentAtMs: 1,
      readSequence: 0,
      replicatedIndex: toLogIndex(0),
    });
    group.take(2);
    const snapshot: SnapshotPoint = {
      ...group.snapshotOf(1),
      from: toReplicaId(3),
      term: toTerm(2),
      lastIncludedIndex: toLogIndex(3),
      lastIncludedTerm: toTerm(2),
    };
    expect(group.install(3, 2, snapshot)).toBe(true);
    group.sync(2); // of the discarded entries
    expect(group.core(2).status(group.now).persistedIndex).toBeLessThan(3);
    group.run(2);
    expect(group.core(2).status(group.now)).toMatchObject({ persistedIndex: 3, lastIndex: 3 });
  });

  test('a server without a state follows, promises and votes, and neither stores nor campaigns', () => {
    const group = withNewcomer();
    expect(group.core(4).status(group.now)).toMatchObject({
      leader: 1,
      lastIndex: 0,
      configuration: undefined,
    });
    expect(group.core(1).status(group.now).progress[3]).toMatchObject({ state: 'snapshot' });
    group.drop();
    group.step(2, 4, {
      kind: 'requestVoteRequest',
      term: toTerm(2),
      lastLogIndex: toLogIndex(9),
      lastLogTerm: toTerm(1),
      leadershipTransfer: true,
    });
    group.run(4);
    expect(group.drop({ from: 4 })).toMatchObject([{ voteGranted: true, term: 2 }]);
    group.wait(10 * E);
    group.tick(4);
    expect([roleOf(group, 4), group.core(4).nextDeadline()]).toEqual(['follower', Infinity]);
  });
});

describe('reads at followers', () => {
  test('thesis §6.4: a follower asks its leader, and serves when it has applied the read point', () => {
    const group = led();
    group.propose(1, 'x');
    group.settle([1, 3]);
    group.drop();
    const asked = group.act(2, (core, now) => core.readIndex(now));
    expect(asked).toEqual({ ok: true, context: 1 });
    group.settle();
    expect(events(group, 'r1/2 read 1 at i2').length).toBe(1);
    expect(group.core(2).status(group.now).lastApplied).toBe(2); // it need not wait for a heartbeat
  });

  test('thesis §6.4: the leader confirms its leadership first', () => {
    const group = led();
    group.act(2, (core, now) => core.readIndex(now));
    group.settle([1, 2]);
    expect(events(group, 'r1/2 read 1 at i1').length).toBe(1); // 2 itself is the majority
    group.act(2, (core, now) => core.readIndex(now));
    group.run(2);
    group.deliver({ to: 1 });
    group.run(1);
    group.drop();
    expect(events(group, 'r1/2 read 2').length).toBe(0);
  });

  test('thesis §6.4: a change of leader or term fails what waits; lost answers fail after E', () => {
    const group = led();
    group.act(2, (core, now) => core.readIndex(now));
    group.step(3, 2, { kind: 'requestVoteResponse', term: toTerm(4), voteGranted: false });
    expect(group.take(2)?.reads).toEqual([{ context: 1, ok: false, leader: undefined }]);
    const other = led();
    other.act(2, (core, now) => core.readIndex(now));
    expect(other.core(2).nextDeadline()).toBeLessThanOrEqual(other.now + E);
    other.wait(E);
    other.tick(2);
    expect(other.take(2)?.reads).toEqual([{ context: 1, ok: false, leader: 1 }]);
  });

  test('thesis §6.4: answers that come twice, late, or from somebody else are not believed', () => {
    const group = led();
    group.act(2, (core, now) => core.readIndex(now));
    const answer = (context: number, term = 1) =>
      ({
        kind: 'readIndexResponse',
        term: toTerm(term),
        context,
        readIndex: toLogIndex(1),
        success: true,
      }) as const;
    group.step(3, 2, answer(1));
    group.step(1, 2, answer(7));
    group.run(2);
    expect(events(group, 'r1/2 read').length).toBe(0);
    group.step(1, 2, answer(1));
    group.step(1, 2, answer(1));
    group.run(2);
    expect(events(group, 'r1/2 read 1 at i1').length).toBe(1);
  });

  test('thesis §6.4: pending reads of a follower are bounded', () => {
    const group = led({ limits: { pendingReadsMax: 2 } });
    const ask = () => group.act(2, (core, now) => core.readIndex(now));
    expect([ask().ok, ask().ok, ask().ok]).toEqual([true, true, false]);
  });

  test('contexts of one life are not those of another', () => {
    const prng = new SeededPrng(7);
    const start = () =>
      createRaftCore(
        {
          rangeId: led().core(1).rangeId,
          self: toReplicaId(1),
          configuration: undefined,
          hardState: new MemoryLogStorage().hardState,
          storage: new MemoryLogStorage(),
          appliedIndex: toLogIndex(0),
          now: 0,
          freshGroup: false,
          timings: defaultTimings,
          limits: defaultLimits,
        },
        prng,
      );
    const contexts = [0, 1, 2, 3].map(() => {
      const core = start();
      const read = { from: toReplicaId(2), to: toReplicaId(1), rangeId: core.rangeId };
      core.step(
        {
          ...read,
          kind: 'appendEntriesRequest',
          term: toTerm(1),
          prevLogIndex: toLogIndex(0),
          prevLogTerm: toTerm(0),
          entries: [],
          leaderCommit: toLogIndex(0),
          sentAtMs: 0,
          readSequence: 0,
          replicatedIndex: toLogIndex(0),
        },
        1,
      );
      const result = core.readIndex(2);
      return result.ok ? result.context : -1;
    });
    expect(new Set(contexts).size).toBe(4);
    expect(contexts.every((context) => Number.isSafeInteger(context) && context > 0)).toBe(true);
  });

  test('a leader announces only what its own readers see', () => {
    const group = led();
    group.propose(1, 'x');
    group.run(1);
    group.deliver({ to: 2 });
    group.run(2);
    group.deliver({ to: 1 });
    group.take(1); // committed and handed out, not applied yet
    expect([commitOf(group, 1), group.core(1).state.lastApplied]).toEqual([2, 1]);
    group.propose(1, 'y');
    const ready = group.take(1);
    expect(ready?.messages[0]).toMatchObject({ leaderCommit: 1 });
  });
});
