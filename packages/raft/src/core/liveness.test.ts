/** One group whose members are spoken for by their stores: what is still said, what is promised, what a lease rests on. */
import { toReplicaId, toTerm } from '@flotilla/base';
import { describe, expect, test } from 'vitest';
import { ManualGroup } from '../testing/manual-group.ts';
import type { Coverage } from './raft-core.ts';

const E = 1000;
const leader = toReplicaId(1);

function cover(group: ManualGroup, coverage: Coverage, peers: readonly number[] = [2, 3]): void {
  for (const id of peers)
    group.act(1, (core, now) => core.setCoverage(toReplicaId(id), coverage, now));
}

/** Three voters, 1 leads, everybody has everything and knows it. */
function settledGroup(): ManualGroup {
  const group = new ManualGroup().start();
  group.elect(1);
  group.beat(1);
  group.beat(1);
  return group;
}

function heard(group: ManualGroup, peer: number, term = group.core(1).state.currentTerm): void {
  const now = group.now;
  const replicaId = toReplicaId(peer);
  group.act(1, (core) => core.peerHeard({ peer: replicaId, term, sentAtMs: now, heardAtMs: now }));
}

describe('a leader whose followers are covered', () => {
  test('has no deadline and says nothing while it has nothing to say', () => {
    const group = settledGroup();
    cover(group, 'covered');
    group.run(1);
    expect(group.core(1).nextDeadline()).toBe(Infinity);
    group.wait(60_000);
    group.tick(1);
    group.run(1);
    expect(group.network).toEqual([]);
    expect(group.core(1).status(group.now).role).toBe('leader');
  });

  test('speaks until everybody has the entry and knows that it is committed, also after losses', () => {
    const group = settledGroup();
    cover(group, 'covered');
    group.run(1);
    group.propose(1, 'x');
    group.run(1);
    group.drop({ to: 3 });
    group.settle();
    expect(group.core(1).status(group.now).commitIndex).toBe(2);
    for (let i = 0; i < 5; i++) group.beat(1, [1, 2]); // 3 hears nothing
    expect(group.core(2).status(group.now).commitIndex).toBe(2);
    expect(group.network.filter((message) => message.to === toReplicaId(2))).toEqual([]);
    group.network = [];
    for (let i = 0; i < 4; i++) group.beat(1);
    expect(group.core(3).status(group.now).commitIndex).toBe(2);
    expect(group.core(1).nextDeadline()).toBe(Infinity);
  });

  test.each([
    [1, 200],
    [100, 200],
    [101, 400],
    [299, 400],
  ])('written to at %i, says what is committed at %i, as all groups of the store do', (at, due) => {
    const group = settledGroup();
    cover(group, 'covered');
    group.run(1);
    const from = Math.ceil(group.now / 200) * 200;
    group.wait(from + at - group.now);
    group.propose(1, 'x');
    group.settle();
    expect(group.core(1).nextDeadline()).toBe(from + due);
    group.wait(from + due - group.now);
    group.tick(1);
    group.run(1);
    expect(group.network.map((message) => message.to)).toEqual([2, 3]);
    group.settle();
    expect(group.core(3).status(group.now).commitIndex).toBe(2);
    expect(group.core(1).nextDeadline()).toBe(Infinity);
  });

  test('has no heartbeat for a follower that was sent an entry a moment ago, and one at the next moment', () => {
    const group = settledGroup();
    cover(group, 'covered');
    group.run(1);
    group.propose(1, 'x');
    group.settle();
    const due = group.core(1).nextDeadline();
    group.wait(due - group.now - 10);
    group.propose(1, 'y');
    group.settle();
    group.wait(10);
    group.tick(1);
    group.run(1);
    expect(group.network).toEqual([]);
    expect(group.core(1).nextDeadline()).toBe(due + 200);
    group.wait(200);
    group.tick(1);
    group.settle();
    expect(group.core(3).status(group.now).commitIndex).toBe(3);
    expect(group.core(1).nextDeadline()).toBe(Infinity);
  });

  test('beats for a follower that was sent an entry a moment ago if no store speaks for it', () => {
    const group = settledGroup();
    cover(group, 'covered', [2]);
    const due = group.core(1).nextDeadline();
    group.wait(due - group.now - 10);
    group.propose(1, 'x');
    group.settle();
    group.wait(10);
    group.tick(1);
    group.run(1);
    expect(group.network.map((message) => message.to)).toEqual([3]);
  });

  test('sends a read round to covered followers, and again when it was lost', () => {
    const group = settledGroup();
    cover(group, 'covered');
    group.run(1);
    const read = group.act(1, (core, now) => core.readIndex(now));
    expect(read.ok).toBe(true);
    group.run(1);
    expect(group.drop({})).toHaveLength(2);
    group.beat(1);
    expect(group.events.some((line) => line.includes('read'))).toBe(true);
    group.run(1);
    expect(group.core(1).state.role).toMatchObject({ reads: { pending: [] } });
  });

  test('L1: leases from the send times that stores answered', () => {
    const group = settledGroup();
    cover(group, 'covered');
    group.wait(5000);
    expect(group.core(1).leaseValid(group.now)).toBe(false);
    heard(group, 2);
    expect(group.core(1).leaseValid(group.now)).toBe(true);
    group.wait(899);
    expect(group.core(1).leaseValid(group.now)).toBe(true);
    group.wait(1);
    expect(group.core(1).leaseValid(group.now)).toBe(false);
  });

  test('an answer for another term renews nothing', () => {
    const group = settledGroup();
    cover(group, 'covered');
    group.wait(5000);
    heard(group, 2, toTerm(group.core(1).state.currentTerm + 1));
    expect(group.core(1).leaseValid(group.now)).toBe(false);
  });

  test('L6: steps down E after the last answer once nobody speaks for a quorum', () => {
    const group = settledGroup();
    cover(group, 'covered');
    group.wait(5000);
    heard(group, 2);
    cover(group, 'silent');
    group.run(1);
    expect(group.core(1).nextDeadline()).toBe(group.now + E);
    group.wait(E);
    group.tick(1);
    expect(group.core(1).status(group.now).role).toBe('follower');
  });

  test('one covered follower of two is a quorum', () => {
    const group = settledGroup();
    cover(group, 'covered', [2]);
    cover(group, 'silent', [3]);
    group.run(1);
    group.wait(5 * E);
    group.tick(1);
    expect(group.core(1).status(group.now).role).toBe('leader');
  });
});

describe('a leader with a silent follower', () => {
  test('sends it nothing, and catches it up when it is heard again', () => {
    const group = settledGroup();
    cover(group, 'covered');
    cover(group, 'silent', [3]);
    group.propose(1, 'x');
    group.settle([1, 2]);
    group.beat(1);
    expect(group.network).toEqual([]);
    expect(group.core(1).nextDeadline()).toBe(Infinity);
    cover(group, 'none', [3]);
    group.beat(1);
    group.beat(1);
    expect(group.core(3).status(group.now).commitIndex).toBe(2);
  });

  test('speaks to an uncovered follower at every heartbeat', () => {
    const group = settledGroup();
    cover(group, 'covered');
    group.run(1);
    cover(group, 'none', [3]);
    for (let i = 0; i < 3; i++) {
      group.wait(group.core(1).nextDeadline() - group.now);
      group.tick(1);
      group.run(1);
      expect(group.drop({}).map((message) => message.to)).toEqual([3]);
    }
  });
});

describe('a follower whose leader is heard by its store', () => {
  test('L2: keeps the promise and the timer as of the moment of hearing', () => {
    const group = settledGroup();
    const term = group.core(1).state.currentTerm;
    group.wait(3 * E);
    const heardAt = group.now - 100;
    expect(group.act(2, (core) => core.leaderHeard(leader, term, heardAt))).toBe(true);
    const { promisedUntilMs, electionDueMs, electionTimeoutMs } = group.core(2).state;
    expect(promisedUntilMs).toBe(heardAt + E);
    expect(electionDueMs).toBe(heardAt + electionTimeoutMs);
    group.step(3, 2, {
      kind: 'preVoteRequest',
      term: toTerm(term + 1),
      lastLogIndex: group.core(2).state.log.lastIndex,
      lastLogTerm: group.core(2).state.log.lastTerm,
    });
    group.run(2);
    expect(group.network).toMatchObject([{ kind: 'preVoteResponse', voteGranted: false }]);
  });

  test('hears nothing for another leader or another term, and an older moment changes nothing', () => {
    const group = settledGroup();
    const term = group.core(1).state.currentTerm;
    const { promisedUntilMs } = group.core(2).state;
    group.wait(500);
    const hear = (id: number, from: number, inTerm: number): boolean =>
      group.act(id, (core) => core.leaderHeard(toReplicaId(from), toTerm(inTerm), group.now));
    expect(hear(2, 3, term)).toBe(false);
    expect(hear(2, 1, term + 1)).toBe(false);
    expect(hear(2, 1, term - 1)).toBe(false);
    expect(hear(1, 1, term)).toBe(false);
    expect(group.core(2).state.promisedUntilMs).toBe(promisedUntilMs);
    expect(group.act(2, (core) => core.leaderHeard(leader, term, 1))).toBe(true);
    expect(group.core(2).state.promisedUntilMs).toBe(promisedUntilMs);
  });
});
