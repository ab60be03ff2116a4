/**
 * One test per sentence of the paper's rules that applies here (Ongaro and Ousterhout, "In Search of an Understandable
 * Consensus Algorithm", extended version; Ongaro's thesis where the title says so). Titles begin with the section.
 */
import { toLogIndex, toReplicaId, toTerm } from '@flotilla/base';
import { describe, expect, test } from 'vitest';
import type {
  AppendEntriesResponse,
  LogEntry,
  RaftMessage,
  RequestVoteResponse,
} from '../messages.ts';
import { ManualGroup, type ManualGroupOptions, type MessageBody } from '../testing/manual-group.ts';

const E = 1000;

function entry(index: number, term: number, text = `${term}.${index}`): LogEntry {
  const data = Buffer.from(text, 'latin1');
  return { index: toLogIndex(index), term: toTerm(term), kind: 'command', data };
}

interface AppendFields {
  readonly term: number;
  readonly prev?: readonly [term: number, index: number];
  readonly entries?: readonly LogEntry[];
  readonly commit?: number;
}

function append(fields: AppendFields): MessageBody {
  return {
    kind: 'appendEntriesRequest',
    term: toTerm(fields.term),
    prevLogTerm: toTerm(fields.prev?.[0] ?? 0),
    prevLogIndex: toLogIndex(fields.prev?.[1] ?? 0),
    entries: fields.entries ?? [],
    leaderCommit: toLogIndex(fields.commit ?? 0),
    sentAtMs: 1,
    readSequence: 0,
    replicatedIndex: toLogIndex(0),
  };
}

function voteRequest(
  term: number,
  last: readonly [term: number, index: number],
  leadershipTransfer = false,
): MessageBody {
  return {
    kind: 'requestVoteRequest',
    term: toTerm(term),
    lastLogTerm: toTerm(last[0]),
    lastLogIndex: toLogIndex(last[1]),
    leadershipTransfer,
  };
}

function preVoteRequest(term: number, last: readonly [term: number, index: number]): MessageBody {
  return {
    kind: 'preVoteRequest',
    term: toTerm(term),
    lastLogTerm: toTerm(last[0]),
    lastLogIndex: toLogIndex(last[1]),
  };
}

/** Steps a message into replica 2 and gives the only answer. */
function answerOf<Kind extends RaftMessage['kind']>(
  group: ManualGroup,
  kind: Kind,
  from: number,
  body: MessageBody,
): Extract<RaftMessage, { kind: Kind }> {
  group.step(from, 2, body);
  group.run(2);
  const answers = group.drop({ from: 2 });
  expect(answers.map((message) => message.kind)).toEqual([kind]);
  return answers[0] as Extract<RaftMessage, { kind: Kind }>;
}

const appended = (group: ManualGroup, body: MessageBody, from = 1): AppendEntriesResponse =>
  answerOf(group, 'appendEntriesResponse', from, body);
const voted = (group: ManualGroup, body: MessageBody, from = 1): RequestVoteResponse =>
  answerOf(group, 'requestVoteResponse', from, body);

/** Replica 1 leads; everyone has applied its no-op. */
function led(options: ManualGroupOptions = {}): ManualGroup {
  const group = new ManualGroup(options).start();
  group.elect(1);
  group.beat(1);
  group.network = [];
  return group;
}

const roleOf = (group: ManualGroup, id: number): string => group.core(id).state.role.kind;
const termOf = (group: ManualGroup, id: number): number => group.core(id).state.currentTerm;
const commitOf = (group: ManualGroup, id: number): number => group.core(id).state.commitIndex;
const leaseOf = (group: ManualGroup, id: number): boolean =>
  group.act(id, (core, now) => core.leaseValid(now));

describe('terms', () => {
  test('§5.1: if one server’s current term is smaller than the other’s, it updates to the larger value', () => {
    const group = led();
    group.step(3, 2, append({ term: 7 }));
    expect(termOf(group, 2)).toBe(7);
    group.step(3, 2, { kind: 'requestVoteResponse', term: toTerm(9), voteGranted: false });
    expect(termOf(group, 2)).toBe(9);
  });

  test('§5.1: a candidate or leader that discovers that its term is out of date reverts to follower', () => {
    const group = led();
    group.step(2, 1, { kind: 'requestVoteResponse', term: toTerm(5), voteGranted: false });
    expect([roleOf(group, 1), termOf(group, 1)]).toEqual(['follower', 5]);
    const other = new ManualGroup().start();
    other.tick(1);
    other.run(1);
    other.deliver({ from: 1, to: 2 });
    other.run(2);
    other.deliver({ to: 1 });
    expect(roleOf(other, 1)).toBe('candidate');
    other.step(3, 1, append({ term: 6 }));
    expect([roleOf(other, 1), termOf(other, 1)]).toEqual(['follower', 6]);
  });

  test('§5.1: a server that receives a request with a stale term number rejects the request', () => {
    const group = led();
    group.step(3, 2, append({ term: 7 }));
    group.run(2);
    group.drop();
    expect(appended(group, append({ term: 1 }))).toMatchObject({ success: false, term: 7 });
    expect(voted(group, voteRequest(3, [9, 9]))).toMatchObject({ voteGranted: false, term: 7 });
  });

  test('§5.1: the answer to an append of an older term makes its sender step down (no wedge)', () => {
    const group = led();
    group.step(3, 2, append({ term: 7 }));
    group.beat(1);
    expect([roleOf(group, 1), termOf(group, 1)]).toEqual(['follower', 7]);
  });
});

describe('elections', () => {
  test('§5.2: when servers start up, they begin as followers', () => {
    const group = new ManualGroup().start();
    expect([1, 2, 3].map((id) => roleOf(group, id))).toEqual(['follower', 'follower', 'follower']);
  });

  test('§5.2: a server remains follower as long as it receives valid messages from a leader', () => {
    const group = led();
    for (let beat = 0; beat < 20; beat++) {
      group.beat(1);
      group.tick(2);
      group.tick(3);
    }
    expect([roleOf(group, 2), roleOf(group, 3), termOf(group, 1)]).toEqual([
      'follower',
      'follower',
      1,
    ]);
  });

  test('§5.2: a follower that receives no communication over the election timeout begins an election', () => {
    const group = led();
    group.wait(E - 1);
    group.tick(2);
    expect(roleOf(group, 2)).toBe('follower');
    group.wait(301);
    group.tick(2);
    expect(roleOf(group, 2)).toBe('preCandidate');
  });

  test('§5.2: to begin an election, a follower increments its term, votes for itself and asks the others', () => {
    const group = new ManualGroup().start();
    group.tick(1);
    group.run(1);
    group.deliver();
    group.run(2);
    group.deliver({ from: 2 });
    group.run(1);
    expect(group.core(1).state).toMatchObject({ currentTerm: 1, votedFor: 1 });
    const requests = group.drop({ kind: 'requestVoteRequest' });
    expect(requests.map((message) => message.to)).toEqual([2, 3]);
  });

  test('§5.2: a candidate wins if it receives votes from a majority for the same term', () => {
    const group = new ManualGroup({ voters: 5 }).start();
    group.tick(1);
    group.settle([1, 2]);
    expect(roleOf(group, 1)).toBe('preCandidate');
    group.settle([1, 2, 3]);
    expect(roleOf(group, 1)).toBe('leader');
  });

  test('§5.2: votes of another term do not count', () => {
    const candidate = new ManualGroup({ voters: 5 }).start();
    candidate.tick(1);
    candidate.run(1);
    candidate.deliver();
    for (const id of [2, 3]) candidate.run(id);
    candidate.deliver();
    candidate.run(1);
    expect(roleOf(candidate, 1)).toBe('candidate');
    for (const from of [2, 3, 4, 5])
      candidate.step(from, 1, { kind: 'requestVoteResponse', term: toTerm(0), voteGranted: true });
    expect(roleOf(candidate, 1)).toBe('candidate');
  });

  test('§5.2: a vote counts once, however often it arrives', () => {
    const group = new ManualGroup({ voters: 5 }).start();
    group.tick(1);
    group.run(1);
    group.deliver();
    for (const id of [2, 3]) group.run(id);
    group.deliver();
    group.run(1);
    for (let copy = 0; copy < 4; copy++)
      group.step(2, 1, { kind: 'requestVoteResponse', term: toTerm(1), voteGranted: true });
    expect(roleOf(group, 1)).toBe('candidate');
  });

  test('§5.2: each server votes for at most one candidate in a term, first come first served', () => {
    const group = new ManualGroup().start();
    expect(voted(group, voteRequest(1, [0, 0]), 1).voteGranted).toBe(true);
    expect(voted(group, voteRequest(1, [0, 0]), 3).voteGranted).toBe(false);
    expect(voted(group, voteRequest(1, [0, 0]), 1).voteGranted).toBe(true);
  });

  test('§5.2: the vote survives a restart', () => {
    const group = new ManualGroup().start();
    expect(voted(group, voteRequest(1, [0, 0]), 1).voteGranted).toBe(true);
    group.crash(2);
    group.restart(2);
    group.wait(E);
    expect(voted(group, voteRequest(1, [0, 0]), 3).voteGranted).toBe(false);
  });

  test('§5.2: a candidate that hears a leader of its term or a newer one returns to follower', () => {
    for (const term of [1, 2]) {
      const group = new ManualGroup().start();
      group.tick(1);
      group.run(1);
      group.deliver();
      group.run(2);
      group.deliver({ from: 2 });
      group.step(3, 1, append({ term }));
      expect([roleOf(group, 1), termOf(group, 1)]).toEqual(['follower', term]);
      expect(group.core(1).status(group.now).leader).toBe(3);
    }
  });

  test('§5.2: a candidate that hears a leader of an older term rejects it and remains candidate', () => {
    const group = new ManualGroup();
    for (const id of [1, 2, 3]) group.setLog(id, [], { term: 4 });
    group.start();
    group.tick(1);
    group.run(1);
    group.deliver();
    group.run(2);
    group.deliver({ from: 2 });
    group.step(3, 1, append({ term: 4 }));
    expect([roleOf(group, 1), termOf(group, 1)]).toEqual(['candidate', 5]);
  });

  test('§5.2: a candidate that neither wins nor loses starts a new election after its timeout', () => {
    const other = new ManualGroup().start();
    other.tick(1);
    other.run(1);
    other.deliver();
    other.run(2);
    other.deliver({ from: 2 });
    other.run(1);
    other.drop();
    expect(roleOf(other, 1)).toBe('candidate');
    other.now = other.core(1).nextDeadline();
    other.tick(1);
    expect(roleOf(other, 1)).toBe('preCandidate');
    other.settle();
    expect([roleOf(other, 1), termOf(other, 1)]).toEqual(['leader', 2]);
  });

  test('§5.2: election timeouts are randomized', () => {
    const group = led();
    const dues = [2, 3].map((id) => group.core(id).nextDeadline());
    expect(new Set(dues).size).toBe(2);
    for (const due of dues) {
      expect(due).toBeGreaterThanOrEqual(group.now + E);
      expect(due).toBeLessThan(group.now + E + 300);
    }
  });

  test('§5.2: a leader sends heartbeats to all followers, also when it is idle', () => {
    const group = led();
    group.now = group.core(1).nextDeadline();
    group.tick(1);
    group.run(1);
    const beats = group.drop({ kind: 'appendEntriesRequest' });
    expect(beats.map((message) => message.to)).toEqual([2, 3]);
    expect(group.now).toBeLessThanOrEqual(10_000 + 2 * 200);
  });

  test('§5.2: a single voter elects itself without asking anyone', () => {
    const group = new ManualGroup({ voters: 1 }).start();
    group.tick(1);
    group.run(1);
    expect(roleOf(group, 1)).toBe('leader');
    expect(commitOf(group, 1)).toBe(1);
    expect(group.network).toEqual([]);
  });

  test('§5.4.1: the voter denies its vote if its own log is more up-to-date: later last term', () => {
    const group = new ManualGroup();
    group.setLog(2, [1, 3]);
    group.start();
    expect(voted(group, voteRequest(4, [2, 9])).voteGranted).toBe(false);
    expect(voted(group, voteRequest(5, [3, 2])).voteGranted).toBe(true);
  });

  test('§5.4.1: if the logs end with the same term, the longer log is more up-to-date', () => {
    const group = new ManualGroup();
    group.setLog(2, [1, 1, 1]);
    group.start();
    expect(voted(group, voteRequest(2, [1, 2])).voteGranted).toBe(false);
    expect(voted(group, voteRequest(3, [1, 3])).voteGranted).toBe(true);
    expect(voted(group, voteRequest(4, [1, 4])).voteGranted).toBe(true);
  });

  test('§5.4.1: a shorter log with a later last term is more up-to-date', () => {
    const group = new ManualGroup();
    group.setLog(2, [1, 1, 1]);
    group.start();
    expect(voted(group, voteRequest(4, [3, 1])).voteGranted).toBe(true);
  });

  test('thesis §4.2.1: learners do not campaign, and their votes do not count', () => {
    const group = new ManualGroup({ voters: 2, learners: 1 }).start();
    group.now = 10 * E + 10_000;
    group.tick(3);
    expect(roleOf(group, 3)).toBe('follower');
    group.tick(1);
    group.settle([1, 3]);
    expect(roleOf(group, 1)).not.toBe('leader');
  });

  test('thesis §4.2.2: a learner that is asked for its vote gives it: it may be a voter by now', () => {
    const group = new ManualGroup({ voters: 1, learners: 1 }).start();
    expect(voted(group, voteRequest(1, [0, 0])).voteGranted).toBe(true);
  });

  test('thesis §4.3: in joint consensus, elections need a majority of both configurations', () => {
    const group = new ManualGroup({ voters: 3, learners: 0, votersOutgoing: [1] }).start();
    group.tick(1);
    group.settle([1, 2]);
    expect(roleOf(group, 1)).toBe('leader');
    const other = new ManualGroup({ voters: 3, votersOutgoing: [3] }).start();
    other.tick(1);
    other.settle([1, 2]);
    expect(roleOf(other, 1)).not.toBe('leader');
    other.settle([1, 2, 3]);
    expect(roleOf(other, 1)).toBe('leader');
  });
});

describe('log replication', () => {
  test('§5.3: the leader appends the command and sends it in parallel to each of the others', () => {
    const group = led();
    group.propose(1, 'x');
    const ready = group.take(1);
    expect(ready?.entries.map((each) => [each.index, each.term])).toEqual([[2, 1]]);
    expect(ready?.messages.map((message) => message.to)).toEqual([2, 3]);
  });

  test('§5.3: when the entry is safely replicated, the leader applies it', () => {
    const group = led();
    group.propose(1, 'x');
    group.run(1);
    expect(commitOf(group, 1)).toBe(1);
    group.deliver({ to: 2 });
    group.run(2);
    group.deliver({ from: 2 });
    const ready = group.take(1);
    expect(ready?.committed.map((each) => each.index)).toEqual([2]);
  });

  test('§5.3: if followers lose packets, the leader retries until all followers store all entries', () => {
    const group = led();
    group.propose(1, 'x');
    group.run(1);
    group.drop({ to: 3 });
    group.settle();
    expect(group.core(3).state.log.lastIndex).toBe(1);
    group.beat(1);
    expect(group.core(3).state.log.lastIndex).toBe(2);
  });

  test('§5.3: with a full window, a lost append is still found out at the next heartbeat', () => {
    const group = led({ limits: { inflightMessagesMax: 1 } });
    group.propose(1, 'x');
    group.run(1);
    group.drop({ to: 3 });
    group.propose(1, 'y');
    group.settle();
    group.beat(1);
    expect(group.core(3).state.log.lastIndex).toBe(3);
  });

  test('§5.3: a committed entry commits all preceding entries, also of previous leaders', () => {
    const group = new ManualGroup();
    for (const id of [1, 2, 3]) group.setLog(id, [1, 1, 2]);
    group.start();
    group.elect(1);
    expect(commitOf(group, 1)).toBe(4);
    expect(group.replica(1).applied).toBe(4);
  });

  test('§5.3: the leader includes the highest committed index in later appends, heartbeats too', () => {
    const group = led();
    group.propose(1, 'x');
    group.settle();
    expect(commitOf(group, 2)).toBe(1);
    group.beat(1);
    expect(commitOf(group, 2)).toBe(2);
    expect(group.replica(2).applied).toBe(2);
  });

  test('§5.3: a follower that does not find prevLogIndex with prevLogTerm refuses the new entries', () => {
    const group = new ManualGroup();
    group.setLog(2, [1, 1]);
    group.start();
    const request = append({ term: 2, prev: [1, 3], entries: [entry(4, 2)] });
    expect(appended(group, request)).toMatchObject({
      success: false,
      conflictIndex: 3,
      conflictTerm: 0,
    });
    const other = append({ term: 2, prev: [2, 2], entries: [entry(3, 2)] });
    expect(appended(group, other)).toMatchObject({
      success: false,
      conflictIndex: 1,
      conflictTerm: 1,
    });
    expect(group.terms(2)).toEqual([1, 1]);
  });

  test('§5.3: conflicting entries in followers’ logs are overwritten with entries from the leader’s', () => {
    const group = new ManualGroup();
    group.setLog(2, [1, 1, 1, 1]);
    group.start();
    const request = append({ term: 3, prev: [1, 2], entries: [entry(3, 2), entry(4, 3)] });
    expect(appended(group, request)).toMatchObject({ success: true, matchIndex: 4 });
    expect(group.terms(2)).toEqual([1, 1, 2, 3]);
    expect(group.replica(2).disk.term(toLogIndex(4))).toBe(3);
  });

  test('Fig. 2: an entry that conflicts removes all that follow it, also with no more to append', () => {
    const group = new ManualGroup();
    group.setLog(2, [1, 1, 1, 1]);
    group.start();
    appended(group, append({ term: 2, prev: [1, 1], entries: [entry(2, 2)] }));
    expect(group.terms(2)).toEqual([1, 2]);
  });

  test('Fig. 2: an append that the log already contains, late or twice, truncates nothing', () => {
    const group = new ManualGroup().start();
    appended(group, append({ term: 1, entries: [entry(1, 1), entry(2, 1), entry(3, 1)] }));
    const late = append({ term: 1, entries: [entry(1, 1)] });
    expect(appended(group, late)).toMatchObject({ success: true, matchIndex: 1 });
    expect(group.terms(2)).toEqual([1, 1, 1]);
    expect(appended(group, append({ term: 1 }))).toMatchObject({ success: true, matchIndex: 0 });
    expect(group.terms(2)).toEqual([1, 1, 1]);
  });

  test('Fig. 2: commitIndex = min(leaderCommit, index of last new entry)', () => {
    const group = new ManualGroup();
    group.setLog(2, [1, 1, 1]);
    group.start();
    group.step(1, 2, append({ term: 2, prev: [1, 1], entries: [entry(2, 1)], commit: 9 }));
    expect(commitOf(group, 2)).toBe(2); // entry 3 is not known to match
  });

  test('§5.3: an append below the commit index changes nothing and says so', () => {
    const group = new ManualGroup().start();
    appended(group, append({ term: 1, entries: [entry(1, 1), entry(2, 1)], commit: 2 }));
    const stale = append({ term: 1, prev: [0, 0], entries: [entry(1, 1)], commit: 1 });
    expect(appended(group, stale)).toMatchObject({ success: true, matchIndex: 2 });
  });

  test('§5.3: a leader never overwrites or deletes entries in its own log', () => {
    const group = new ManualGroup();
    group.setLog(1, [1, 1, 1], { term: 2 });
    group.setLog(2, [1, 2]);
    group.setLog(3, [1]);
    group.start();
    group.elect(1, [1, 3]);
    expect(group.terms(1)).toEqual([1, 1, 1, 3]);
    group.settle();
    group.beat(1);
    expect(group.terms(1)).toEqual([1, 1, 1, 3]);
    expect(group.terms(2)).toEqual([1, 1, 1, 3]);
  });

  test('thesis §3.5: one refusal per conflicting term, not per entry', () => {
    const group = new ManualGroup();
    group.setLog(1, [1, 4, 4, 4, 4], { term: 4 });
    group.setLog(2, [1, 2, 2, 2, 2, 2, 2, 3, 3, 3], { term: 4 });
    group.setLog(3, [1, 4, 4], { term: 4 });
    group.start();
    group.elect(1, [1, 3]);
    group.events = [];
    group.settle();
    const refusals = group.events.filter((line) => line.includes('refused prev'));
    expect(refusals.length).toBeLessThanOrEqual(2);
    expect(group.terms(2)).toEqual([1, 4, 4, 4, 4, 5]);
  });
});

describe('commitment', () => {
  test('§5.4.2: only entries from the leader’s current term are committed by counting replicas', () => {
    const group = new ManualGroup({ limits: { appendBytesMax: 1 } });
    group.setLog(1, [1, 2], { term: 3 });
    group.setLog(2, [1], { term: 3 });
    group.setLog(3, [1], { term: 3 });
    group.start();
    group.tick(1);
    for (let turn = 0; turn < 3; turn++) {
      group.run(1);
      group.deliver({ to: 2 });
      group.run(2);
      group.deliver({ to: 1 });
    }
    // Replica 2 gets index 2 alone, of term 2; the no-op of term 4 comes after.
    group.run(1);
    group.deliver({ to: 2 });
    group.run(2);
    group.deliver({ to: 1 });
    expect(group.core(2).state.log.lastIndex).toBe(2);
    expect([roleOf(group, 1), commitOf(group, 1)]).toEqual(['leader', 0]);
    group.settle([1, 2]);
    expect(commitOf(group, 1)).toBe(3);
  });

  test('§5.4.3 / thesis §10.2.1: a leader does not count itself before its own write is durable', () => {
    const group = led();
    group.propose(1, 'x');
    group.take(1);
    group.deliver({ to: 2 });
    group.run(2);
    group.deliver({ to: 1 });
    expect(commitOf(group, 1)).toBe(1);
    group.sync(1);
    expect(commitOf(group, 1)).toBe(2);
  });

  test('thesis §10.2.1: followers may commit an entry before the leader has written it', () => {
    const group = led();
    group.propose(1, 'x');
    group.take(1);
    group.deliver();
    group.run(2);
    group.run(3);
    group.deliver({ to: 1 });
    expect(commitOf(group, 1)).toBe(2);
    expect(group.take(1)?.committed ?? []).toEqual([]); // not durable here: not applied here
    group.sync(1);
    expect(group.take(1)?.committed.map((each) => each.index)).toEqual([2]);
  });

  test('thesis §6.4: a leader commits a no-op at the start of its term', () => {
    const group = led();
    const first = group.replica(1).disk.entry(1);
    expect([first.kind, first.term]).toEqual(['noop', 1]);
  });

  test('§5.3: acks of learners commit nothing', () => {
    const group = led({ voters: 3, learners: 2 });
    group.propose(1, 'x');
    group.settle([1, 4, 5]);
    expect(commitOf(group, 1)).toBe(1);
    group.settle([1, 2]);
    expect(commitOf(group, 1)).toBe(2);
  });

  test('§5.3: acks that claim more than was sent are not believed', () => {
    const group = led();
    group.propose(1, 'x');
    group.run(1);
    group.drop();
    group.step(2, 1, {
      kind: 'appendEntriesResponse',
      term: toTerm(1),
      success: true,
      matchIndex: toLogIndex(99),
      rejectedIndex: toLogIndex(0),
      conflictTerm: toTerm(0),
      conflictIndex: toLogIndex(0),
      sentAtMs: group.now,
      readSequence: 0,
      needsSnapshot: false,
      commitIndex: toLogIndex(0),
    });
    expect(commitOf(group, 1)).toBe(1);
  });
});

describe('persistence', () => {
  test('thesis §3.8: votes and vote requests leave after the write they rest on', () => {
    const group = new ManualGroup().start();
    group.step(1, 2, voteRequest(1, [0, 0]));
    const ready = group.take(2);
    expect(ready?.mustSync).toBe(true);
    expect(ready?.hardState).toMatchObject({ currentTerm: 1, votedFor: 1 });
    expect(ready?.messages).toEqual([]);
    expect(ready?.messagesAfterPersist.map((message) => message.kind)).toEqual([
      'requestVoteResponse',
    ]);
  });

  test('thesis §3.8: acks leave after the write they rest on; several fold into one', () => {
    const group = new ManualGroup().start();
    group.step(1, 2, append({ term: 1, entries: [entry(1, 1)] }));
    group.step(1, 2, append({ term: 1, prev: [1, 1], entries: [entry(2, 1)] }));
    const ready = group.take(2);
    expect(ready?.entries.map((each) => each.index)).toEqual([1, 2]);
    expect(ready?.messagesAfterPersist).toMatchObject([{ success: true, matchIndex: 2 }]);
    expect(ready?.messages).toEqual([]);
  });

  test('Fig. 2: a crash before the write loses the vote and the entries, and nobody was told', () => {
    const group = new ManualGroup().start();
    group.step(1, 2, append({ term: 1, entries: [entry(1, 1)] }));
    group.take(2);
    group.crash(2);
    expect(group.network).toEqual([]);
    group.restart(2);
    expect(group.core(2).state).toMatchObject({ currentTerm: 0, votedFor: undefined });
    expect(group.core(2).state.log.lastIndex).toBe(0);
  });

  test('Fig. 2: term, vote and log survive a restart', () => {
    const group = led();
    group.propose(1, 'x');
    group.settle();
    group.crash(1);
    group.restart(1);
    expect(group.core(1).state).toMatchObject({ currentTerm: 1, votedFor: 1, lastApplied: 2 });
    expect(group.terms(1)).toEqual([1, 1]);
    expect(roleOf(group, 1)).toBe('follower');
  });

  test('Fig. 2: a commit index alone needs no write', () => {
    const group = led();
    group.propose(1, 'x');
    group.settle();
    group.now = group.core(1).nextDeadline();
    group.tick(1);
    group.run(1);
    group.deliver({ to: 2 });
    const ready = group.take(2);
    expect(ready).toMatchObject({ mustSync: false, hardState: undefined, entries: [] });
    expect(ready?.committed.map((each) => each.index)).toEqual([2]);
  });

  test('thesis §3.8: replaced entries do not count as durable when their old write completes (ABA)', () => {
    const group = new ManualGroup().start();
    group.step(1, 2, append({ term: 1, entries: [entry(1, 1), entry(2, 1)] }));
    const first = group.take(2);
    group.step(3, 2, append({ term: 2, prev: [1, 1], entries: [entry(2, 2)], commit: 2 }));
    group.take(2);
    // Back again: the very entry of the first write.
    group.step(1, 2, append({ term: 3, prev: [1, 1], entries: [entry(2, 2), entry(3, 3)] }));
    expect(first?.entries.length).toBe(2);
    group.sync(2);
    expect(group.core(2).state.persistence.persistedIndex).toBe(1);
    group.sync(2);
    expect(group.core(2).state.persistence.persistedIndex).toBe(2);
    group.run(2);
    expect(group.core(2).state.persistence.persistedIndex).toBe(3);
  });
});

describe('promises and pre-votes', () => {
  test('thesis §4.2.3: a server that hears from a leader within E neither votes nor adopts the term', () => {
    const group = led();
    group.wait(E - 1);
    group.step(3, 2, voteRequest(9, [9, 9]));
    group.run(2);
    expect(group.drop({ from: 2 })).toEqual([]);
    expect(termOf(group, 2)).toBe(1);
    group.wait(1);
    expect(voted(group, voteRequest(9, [9, 9]), 3).voteGranted).toBe(true);
  });

  test('thesis §4.2.3: a vote request that a leader asked for is answered all the same', () => {
    const group = led();
    expect(voted(group, voteRequest(2, [9, 9], true), 3).voteGranted).toBe(true);
  });

  test('thesis §6.4.1 (L2): the promise outlives a change of term', () => {
    const group = led();
    group.step(3, 2, { kind: 'requestVoteResponse', term: toTerm(4), voteGranted: false });
    expect(termOf(group, 2)).toBe(4);
    expect(voted(group, voteRequest(4, [9, 9]), 3).voteGranted).toBe(false);
  });

  test('thesis §6.4.1 (L3): a restarted server neither votes nor campaigns for E', () => {
    const group = led();
    group.crash(2);
    group.restart(2);
    expect(group.core(2).nextDeadline()).toBeGreaterThanOrEqual(group.now + E);
    group.wait(E - 1);
    group.step(3, 2, voteRequest(9, [9, 9]));
    expect(termOf(group, 2)).toBe(1);
    group.wait(1);
    expect(voted(group, voteRequest(9, [9, 9]), 3).voteGranted).toBe(true);
  });

  test('thesis §9.6: a pre-vote changes neither term nor vote', () => {
    const group = new ManualGroup().start();
    const answer = answerOf(group, 'preVoteResponse', 1, preVoteRequest(5, [0, 0]));
    expect(answer).toMatchObject({ voteGranted: true, term: 0 });
    expect(group.core(2).state).toMatchObject({ currentTerm: 0, votedFor: undefined });
  });

  test('thesis §9.6: pre-votes are refused to older logs, to older terms, and while a leader is heard', () => {
    const group = new ManualGroup();
    group.setLog(2, [1, 2]);
    group.start();
    const ask = (term: number, last: readonly [number, number]): boolean =>
      answerOf(group, 'preVoteResponse', 3, preVoteRequest(term, last)).voteGranted;
    expect(ask(3, [1, 9])).toBe(false);
    expect(ask(2, [2, 2])).toBe(false);
    expect(ask(3, [2, 2])).toBe(true);
    appended(group, append({ term: 2, prev: [2, 2] }));
    expect(ask(3, [2, 2])).toBe(false);
  });

  test('thesis §9.6: a server that was cut off does not disturb the leader when it returns', () => {
    const group = led();
    for (let beat = 0; beat < 10; beat++) group.beat(1, [1, 2]);
    group.drop({ to: 3 });
    group.tick(3);
    group.settle();
    expect([roleOf(group, 1), termOf(group, 1)]).toEqual(['leader', 1]);
    group.beat(1);
    expect(group.core(3).status(group.now).leader).toBe(1);
  });

  test('thesis §6.2 (L6): a leader that hears no quorum for E steps down and stops its heartbeats', () => {
    const group = led();
    const heardAt = group.now;
    while (roleOf(group, 1) === 'leader') group.beat(1, [1]);
    expect(roleOf(group, 1)).toBe('follower');
    expect(group.now).toBeLessThanOrEqual(heardAt + E);
    group.drop();
    group.wait(200);
    group.tick(1);
    group.run(1);
    expect(group.drop({ kind: 'appendEntriesRequest' })).toEqual([]);
  });

  test('thesis §6.2: answers of a minority of five do not keep a leader', () => {
    const group = led({ voters: 5 });
    for (let beat = 0; beat < 8; beat++) group.beat(1, [1, 2]);
    expect(roleOf(group, 1)).not.toBe('leader');
    const other = led({ voters: 5 });
    for (let beat = 0; beat < 8; beat++) other.beat(1, [1, 2, 3]);
    expect(roleOf(other, 1)).toBe('leader');
  });
});

describe('reads and leases', () => {
  test('thesis §6.4: a read waits until the leader has committed an entry of its term', () => {
    const group = new ManualGroup();
    for (const id of [1, 2, 3]) group.setLog(id, [1, 1]);
    group.start();
    group.tick(1);
    group.run(1);
    group.deliver();
    group.run(2);
    group.deliver({ to: 1 });
    group.run(1);
    group.deliver({ to: 2 });
    group.run(2);
    group.deliver({ from: 2 });
    expect(roleOf(group, 1)).toBe('leader');
    expect(group.act(1, (core, now) => core.readIndex(now)).ok).toBe(true);
    expect(group.take(1)?.reads).toEqual([]);
    group.events = [];
    group.settle();
    expect(group.events.some((line) => line.endsWith('read 1 at i3'))).toBe(true);
  });

  test('thesis §6.4: a read waits until a quorum confirms leadership after it arrived', () => {
    const group = led();
    group.now = group.core(1).nextDeadline();
    group.tick(1);
    group.run(1); // heartbeats under way before the read
    group.act(1, (core, now) => core.readIndex(now));
    group.deliver({ to: 2 });
    group.run(2);
    group.deliver({ from: 2 });
    const ready = group.take(1);
    expect(ready?.reads).toEqual([]);
    group.settle();
    expect(group.events.some((line) => line.endsWith('read 1 at i1'))).toBe(true);
  });

  test('thesis §6.4: late and doubled echoes of an older round confirm nothing (etcd 20418)', () => {
    const group = led();
    group.act(1, (core, now) => core.readIndex(now));
    group.run(1);
    group.deliver({ to: 2 });
    group.run(2);
    const [echo] = group.drop({ from: 2 });
    group.settle(); // replica 3 confirms the first round
    group.beat(1, [1]);
    group.drop();
    group.act(1, (core, now) => core.readIndex(now));
    group.run(1);
    group.drop();
    group.events = [];
    if (echo?.kind !== 'appendEntriesResponse') throw new Error('an echo is there');
    for (let copy = 0; copy < 3; copy++) group.step(2, 1, echo);
    group.run(1);
    expect(group.events.filter((line) => line.includes('read 2'))).toEqual([]);
  });

  test('thesis §6.4: echoes of learners confirm nothing', () => {
    const group = led({ voters: 3, learners: 2 });
    group.act(1, (core, now) => core.readIndex(now));
    group.events = [];
    group.settle([1, 4, 5]);
    expect(group.events.filter((line) => line.includes('read 1 at'))).toEqual([]);
    group.settle([1, 2]);
    expect(group.events.filter((line) => line.includes('read 1 at')).length).toBe(1);
  });

  test('thesis §6.4: a leader that is deposed fails the reads that wait, naming the new leader', () => {
    const group = led();
    group.act(1, (core, now) => core.readIndex(now));
    group.step(3, 1, append({ term: 2 }));
    expect(group.take(1)?.reads).toEqual([{ context: 1, ok: false, leader: toReplicaId(3) }]);
  });

  test('thesis §6.4: a server that knows no leader takes no read', () => {
    const group = new ManualGroup().start();
    expect(group.act(2, (core, now) => core.readIndex(now))).toEqual({
      ok: false,
      reason: 'notLeader',
      leader: undefined,
    });
  });

  test('thesis §6.4: a single voter answers at once', () => {
    const group = new ManualGroup({ voters: 1 }).start();
    group.tick(1);
    group.run(1);
    group.act(1, (core, now) => core.readIndex(now));
    expect(group.take(1)?.reads).toMatchObject([{ context: 1, ok: true, index: 1 }]);
    expect(leaseOf(group, 1)).toBe(true);
  });

  test('thesis §6.4: pending reads are bounded', () => {
    const group = led({ limits: { pendingReadsMax: 2 } });
    const ask = (): unknown => group.act(1, (core, now) => core.readIndex(now));
    expect([ask(), ask(), ask()]).toMatchObject([
      { ok: true },
      { ok: true },
      { reason: 'tooManyPending' },
    ]);
  });

  test('thesis §6.4: the leader answers the read of a follower; anyone else refuses', () => {
    const group = led();
    const request: MessageBody = { kind: 'readIndexRequest', term: toTerm(1), context: 77 };
    group.step(2, 1, request);
    group.run(1);
    group.deliver({ to: 3 });
    group.run(3);
    group.deliver({ from: 3 });
    group.run(1);
    const answers = group.drop({ kind: 'readIndexResponse' });
    expect(answers).toMatchObject([{ to: 2, context: 77, success: true, readIndex: 1 }]);
    group.step(2, 3, request);
    group.run(3);
    expect(group.drop({ kind: 'readIndexResponse' })).toMatchObject([
      { context: 77, success: false },
    ]);
  });

  test('thesis §6.4.1 (L1): the lease counts from the send time of what a quorum acknowledged', () => {
    const group = led();
    const beatAt = group.core(1).nextDeadline();
    group.now = beatAt;
    group.tick(1);
    group.run(1);
    group.drop({ to: 3 });
    group.wait(400);
    group.deliver({ to: 2 });
    group.run(2);
    group.wait(400);
    group.deliver({ to: 1 });
    expect(group.core(1).status(group.now).leaseRemainingMs).toBe(100);
    group.now = beatAt + 900;
    expect(leaseOf(group, 1)).toBe(false);
  });

  test('thesis §6.4.1 (L4): no lease before the own-term entry is applied', () => {
    const group = new ManualGroup().start();
    group.tick(1);
    group.run(1);
    group.deliver();
    for (const id of [2, 3]) group.run(id);
    group.deliver();
    group.run(1);
    group.deliver();
    for (const id of [2, 3]) group.run(id);
    group.deliver();
    group.take(1); // elected: no-op
    group.sync(1);
    group.deliver();
    for (const id of [2, 3]) group.run(id);
    group.deliver();
    expect([roleOf(group, 1), commitOf(group, 1)]).toEqual(['leader', 1]);
    expect(leaseOf(group, 1)).toBe(false);
    group.run(1); // applies
    expect(leaseOf(group, 1)).toBe(true);
  });

  test('thesis §6.4.1: acks of learners do not extend the lease', () => {
    const group = led({ voters: 3, learners: 2 });
    for (let beat = 0; beat < 4; beat++) group.beat(1, [1, 4, 5]);
    group.wait(150);
    expect(leaseOf(group, 1)).toBe(false);
  });
});

describe('leadership transfer', () => {
  test('thesis §3.10: the target campaigns at once, its term passes, and it leads', () => {
    const group = led();
    expect(group.act(1, (core, now) => core.transferLeadership(toReplicaId(2), now)).ok).toBe(true);
    group.settle();
    expect([roleOf(group, 1), roleOf(group, 2), termOf(group, 2)]).toEqual([
      'follower',
      'leader',
      2,
    ]);
  });

  test('thesis §3.10: during a transfer the leader takes no proposals and has no lease', () => {
    const group = led();
    group.act(1, (core, now) => core.transferLeadership(toReplicaId(2), now));
    expect(group.propose(1, 'x')).toMatchObject({ ok: false, reason: 'transferring' });
    expect(leaseOf(group, 1)).toBe(false);
  });

  test('thesis §3.10: if it does not complete within E the leader resumes, by ReadIndex, without a lease', () => {
    const group = led();
    group.act(1, (core, now) => core.transferLeadership(toReplicaId(2), now));
    group.run(1);
    group.drop({ to: 2 });
    for (let beat = 0; beat < 4; beat++) group.beat(1, [1, 3]);
    group.drop({ to: 2 });
    group.now = 10_000 + 200 + E + 200;
    group.tick(1);
    group.settle([1, 3]);
    expect(group.propose(1, 'x')).toMatchObject({ ok: true, term: 1 });
    expect(leaseOf(group, 1)).toBe(false);
    group.act(1, (core, now) => core.readIndex(now));
    group.events = [];
    group.settle([1, 3]);
    expect(group.events.some((line) => line.includes('read 1 at'))).toBe(true);
    expect(leaseOf(group, 1)).toBe(false);
    group.beat(1, [1, 3]); // re-election
    expect([roleOf(group, 1), termOf(group, 1), leaseOf(group, 1)]).toEqual(['leader', 2, true]);
  });

  test('thesis §3.10: a TimeoutNow of another term or for another log is ignored (raft-rs 234)', () => {
    const group = led();
    const timeoutNow = (term: number, last: number): void =>
      group.step(1, 2, {
        ...{ kind: 'timeoutNow', term: toTerm(term), lastLogIndex: toLogIndex(last), handOver: 0 },
      });
    timeoutNow(0, 1);
    timeoutNow(1, 0);
    timeoutNow(1, 2);
    expect(roleOf(group, 2)).toBe('follower');
    group.step(3, 2, {
      ...{ kind: 'timeoutNow', term: toTerm(1), lastLogIndex: toLogIndex(1), handOver: 0 },
    });
    expect(roleOf(group, 2)).toBe('follower'); // not from its leader
    timeoutNow(1, 1);
    expect(roleOf(group, 2)).toBe('candidate');
  });

  test('thesis §3.10: transfers are to another voter, one at a time', () => {
    const group = led({ voters: 3, learners: 1 });
    const to = (id: number): unknown =>
      group.act(1, (core, now) => core.transferLeadership(toReplicaId(id), now));
    expect(to(1)).toMatchObject({ reason: 'self' });
    expect(to(4)).toMatchObject({ reason: 'notVoter' });
    expect(to(2)).toMatchObject({ ok: true });
    expect(to(3)).toMatchObject({ reason: 'inProgress' });
    expect(group.act(2, (core, now) => core.transferLeadership(toReplicaId(3), now))).toMatchObject(
      {
        reason: 'notLeader',
      },
    );
  });

  test('thesis §3.10: nothing is handed to one that was silent for E: the lease stays, and proposals go on', () => {
    const group = led();
    for (const silentSince = group.now; group.now < silentSince + E; ) {
      group.beat(1, [1, 3]);
      group.drop({ to: 2 });
    }
    const to = (id: number): unknown =>
      group.act(1, (core, now) => core.transferLeadership(toReplicaId(id), now));
    expect(to(2)).toEqual({ ok: false, reason: 'notHeard' });
    expect(leaseOf(group, 1)).toBe(true);
    expect(group.propose(1, 'x').ok).toBe(true);
    group.settle();
    expect(to(2)).toEqual({ ok: true });
  });
});

describe('clients and limits', () => {
  test('§8: a server that is not leader rejects the request and names the leader it heard', () => {
    const group = led();
    expect(group.propose(2, 'x')).toEqual({
      ok: false,
      reason: 'notLeader',
      leader: toReplicaId(1),
    });
  });

  test('thesis §10.2.1: uncommitted data is bounded, and commitment frees it', () => {
    const group = led({ limits: { uncommittedBytesMax: 10 } });
    expect(group.propose(1, '12345678').ok).toBe(true);
    expect(group.propose(1, '12345678')).toMatchObject({ reason: 'tooManyUncommitted' });
    group.settle();
    expect(group.propose(1, '12345678').ok).toBe(true);
  });

  test('thesis §10.2.1: appends are pipelined up to a limit of messages and of bytes', () => {
    const limits = { appendBytesMax: 1, inflightMessagesMax: 3, inflightBytesMax: 100 };
    const group = led({ limits });
    for (let i = 0; i < 10; i++) group.propose(1, 'x');
    group.run(1);
    expect(group.drop({ to: 2 }).length).toBe(3);
    const other = led({ limits: { ...limits, inflightMessagesMax: 100, inflightBytesMax: 5 } });
    for (let i = 0; i < 10; i++) other.propose(1, 'x');
    other.run(1);
    expect(other.drop({ to: 2 }).length).toBe(5);
  });

  test('§7: up to where every member, learners too, has it on disk, nobody needs the log', () => {
    const group = led({ voters: 3, learners: 1 });
    group.propose(1, 'x');
    group.settle([1, 2, 3]);
    group.beat(1, [1, 2, 3]);
    expect(group.core(1).status(group.now).compactableIndex).toBe(1);
    group.beat(1);
    group.beat(1);
    expect(group.core(1).status(group.now).compactableIndex).toBe(2);
    expect(group.core(2).status(group.now).compactableIndex).toBe(2);
    expect(group.core(2).compact(toLogIndex(2))).toBe(1);
    group.propose(1, 'y');
    group.settle();
    expect(group.core(2).status(group.now)).toMatchObject({ firstIndex: 3, lastIndex: 3 });
  });

  test('§5.3: a follower far behind is served from disk when the cache has let go', () => {
    const group = led({ limits: { cachedBytesMax: 0, appendBytesMax: 4 } });
    for (let i = 0; i < 20; i++) group.propose(1, `${i}`);
    group.settle([1, 2]);
    group.drop();
    expect(group.core(1).state.log.cacheStartIndex).toBe(22);
    for (let beat = 0; beat < 3; beat++) group.beat(1);
    expect(group.core(3).state.log.lastIndex).toBe(21);
  });

  test('§5.3: what everybody has is not kept in memory, what one lacks is', () => {
    const group = led();
    for (let i = 0; i < 20; i++) group.propose(1, `${i}`);
    group.settle([1, 2]);
    group.drop();
    // Behind the no-op of the term, which everybody had.
    expect(group.core(1).state.log.cacheStartIndex).toBe(2);
    for (let beat = 0; beat < 5; beat++) group.beat(1);
    expect(group.core(3).state.log.lastIndex).toBe(21);
    for (const id of [1, 2, 3]) expect(group.core(id).state.log.cacheStartIndex).toBe(22);
    // The term of the last entry is known without it: the log goes on.
    group.propose(1, 'and on');
    group.settle();
    for (const id of [1, 2, 3]) expect(group.core(id).state.log.lastIndex).toBe(22);
  });

  test('messages for others or from oneself are ignored', () => {
    const group = led();
    const before = group.core(2).status(group.now);
    group.step(2, 2, append({ term: 9 }));
    group.act(2, (core, now) =>
      core.step(
        {
          ...append({ term: 9 }),
          rangeId: core.rangeId,
          from: toReplicaId(1),
          to: toReplicaId(3),
        } as RaftMessage,
        now,
      ),
    );
    expect(group.core(2).status(group.now)).toEqual(before);
  });
});
