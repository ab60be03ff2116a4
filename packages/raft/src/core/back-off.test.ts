/** How soon a replica that is not elected stands again: soon at first, then later and later, and soon after any news. */
import { toLogIndex, toTerm } from '@flotilla/base';
import { describe, expect, test } from 'vitest';
import { ManualGroup, type MessageBody } from '../testing/manual-group.ts';

/** Replica 1 draws no jitter, so that a pre-vote is repeated after exactly a heartbeat interval, times the back-off. */
const prompt = 200;
const noIndex = toLogIndex(0);
const noTerm = toTerm(0);

/** Replica 1 stands `times` times and hears nothing. @returns how long it waited after each */
function standInVain(group: ManualGroup, times: number): number[] {
  return Array.from({ length: times }, () => {
    group.now = group.core(1).nextDeadline();
    group.tick(1);
    expect(group.core(1).state.role.kind).toBe('preCandidate');
    group.run(1);
    group.drop();
    return group.core(1).nextDeadline() - group.now;
  });
}

function tired(): ManualGroup {
  const group = new ManualGroup().start();
  expect(standInVain(group, 7)).toEqual([1, 1, 2, 4, 8, 8, 8].map((times) => times * prompt));
  return group;
}

describe('a replica that stands for election in vain', () => {
  test('tries twice soon, then waits twice as long each time, up to a bound', () => {
    tired();
  });

  test('waits longer after refusals too', () => {
    const group = new ManualGroup().start();
    const waits = Array.from({ length: 4 }, () => {
      group.now = group.core(1).nextDeadline();
      group.tick(1);
      for (const from of [2, 3])
        group.step(from, 1, { kind: 'preVoteResponse', term: noTerm, voteGranted: false });
      expect(group.core(1).state.role.kind).toBe('follower');
      return group.core(1).nextDeadline() - group.now;
    });
    expect(waits).toEqual([1, 1, 2, 4].map((times) => times * prompt));
  });

  test('gives votes that come late more time, and wins with them', () => {
    const group = tired();
    group.now = group.core(1).nextDeadline();
    group.tick(1);
    group.settle([1, 2]);
    expect(group.core(1).state.role.kind).toBe('leader');
    expect(group.core(1).state.triesInVain).toBe(0);
  });

  const news: readonly (readonly [string, MessageBody])[] = [
    [
      'a leader',
      {
        kind: 'appendEntriesRequest',
        term: noTerm,
        prevLogTerm: noTerm,
        prevLogIndex: noIndex,
        entries: [],
        leaderCommit: noIndex,
        sentAtMs: 1,
        readSequence: 0,
        replicatedIndex: noIndex,
      },
    ],
    [
      'a candidate that gets its vote',
      {
        kind: 'requestVoteRequest',
        term: toTerm(1),
        lastLogTerm: noTerm,
        lastLogIndex: noIndex,
        leadershipTransfer: false,
      },
    ],
    ['a newer term', { kind: 'preVoteResponse', term: toTerm(5), voteGranted: false }],
  ];
  test.each(news)('is prompt again after it heard of %s', (_, message) => {
    const group = tired();
    group.step(2, 1, message);
    expect(standInVain(group, 3)).toEqual([1, 1, 2].map((times) => times * prompt));
  });

  test('is not prompt again because others ask for its pre-vote, or refuse theirs', () => {
    const group = tired();
    group.step(2, 1, {
      kind: 'preVoteRequest',
      term: toTerm(1),
      lastLogTerm: noTerm,
      lastLogIndex: noIndex,
    });
    group.step(3, 1, { kind: 'preVoteResponse', term: noTerm, voteGranted: false });
    group.run(1);
    expect(standInVain(group, 1)).toEqual([8 * prompt]);
  });
});
