/** Majorities against an oracle that tries every subset. */
import { toReplicaId, toStoreId } from '@flotilla/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Configuration } from '../messages.ts';
import {
  assertConfiguration,
  isSoleVoter,
  jointQuorumValue,
  majorityOf,
  membersOf,
  quorumValue,
  voteResult,
} from './quorum.ts';

/** The greatest value that all members of some majority have: by looking at every subset. */
function oracleValue(values: readonly number[]): number {
  let best = -Infinity;
  for (let subset = 0; subset < 1 << values.length; subset++) {
    const chosen = values.filter((_, i) => (subset >> i) & 1);
    if (chosen.length * 2 > values.length) best = Math.max(best, Math.min(...chosen));
  }
  return best;
}

function oracleVote(voters: readonly (boolean | undefined)[]): string {
  if (voters.length === 0) return 'won';
  const least = voters.filter((vote) => vote === true).length;
  const most = voters.filter((vote) => vote !== false).length;
  if (least * 2 > voters.length) return 'won';
  return most * 2 > voters.length ? 'pending' : 'lost';
}

describe('quorum', () => {
  test('majorities', () => {
    expect([1, 2, 3, 4, 5, 6, 7].map(majorityOf)).toEqual([1, 2, 2, 3, 3, 4, 4]);
    expect(() => majorityOf(0)).toThrow('majority');
  });

  test('quorumValue is the best that a majority shares', () => {
    const values = fc.array(fc.oneof(fc.integer({ min: 0, max: 9 }), fc.constant(Infinity)), {
      minLength: 1,
      maxLength: 7,
    });
    fc.assert(
      fc.property(values, (all) => {
        expect(quorumValue(all, (value) => value)).toBe(oracleValue(all));
      }),
    );
    expect(quorumValue([], (value: number) => value)).toBe(Infinity);
  });

  test('jointQuorumValue is the lesser of both sets', () => {
    const set = fc.array(fc.nat(9), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(set, set, (incoming, outgoing) => {
        const joint = jointQuorumValue([incoming, outgoing], (value) => value);
        expect(joint).toBe(Math.min(oracleValue(incoming), oracleValue(outgoing)));
      }),
    );
  });

  test('voteResult looks at voters of both sets and at nobody else', () => {
    const vote = fc.constantFrom(true, false, undefined);
    const configuration = fc.record({
      voters: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
      votersOutgoing: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 5 }),
      votes: fc.array(vote, { minLength: 9, maxLength: 9 }),
    });
    fc.assert(
      fc.property(configuration, ({ voters, votersOutgoing, votes }) => {
        const given = new Map(
          votes.flatMap((granted, i) =>
            granted === undefined ? [] : [[toReplicaId(i + 1), granted] as const],
          ),
        );
        const result = voteResult(
          {
            voters: voters.map(toReplicaId),
            votersOutgoing: votersOutgoing.map(toReplicaId),
            learners: [],
            storeOf: new Map(),
          },
          given,
        );
        const results = [voters, votersOutgoing].map((set) =>
          oracleVote(set.map((id) => votes[id - 1])),
        );
        const expected = results.includes('lost')
          ? 'lost'
          : results.includes('pending')
            ? 'pending'
            : 'won';
        expect(result).toBe(expected);
      }),
    );
  });

  test('configurations are checked, members are listed once', () => {
    const make = (voters: number[], outgoing: number[], learners: number[]): Configuration => ({
      voters: voters.map(toReplicaId),
      votersOutgoing: outgoing.map(toReplicaId),
      learners: learners.map(toReplicaId),
      storeOf: new Map(
        [...voters, ...outgoing, ...learners].map((id) => [toReplicaId(id), toStoreId(id)]),
      ),
    });
    expect(membersOf(make([1, 3], [3, 5], [2]))).toEqual([1, 2, 3, 5]);
    expect(isSoleVoter(make([1], [], [2]), toReplicaId(1))).toBe(true);
    expect(isSoleVoter(make([1], [2], []), toReplicaId(1))).toBe(false);
    expect(() => assertConfiguration(make([], [], []))).toThrow('has a voter');
    expect(() => assertConfiguration(make([2, 1], [], []))).toThrow('sorted');
    expect(() => assertConfiguration(make([1], [], [1]))).toThrow('not a voter');
  });
});
