import { type RangeId, type ReplicaId, toRangeId, toReplicaId, toTerm } from '@flotilla/base';
import { beforeEach, expect, it } from 'vitest';
import type { Leadership, StoreHeartbeat, StoreHeartbeatResponse } from '../../store-messages.ts';
import { FollowerSide } from './follower-side.ts';
import { LeaderSide } from './leader-side.ts';

/** Two stores and the messages between them, which are delivered when a test says so, in any order. */
let beats: StoreHeartbeat[];
let answers: StoreHeartbeatResponse[];
let leader: LeaderSide;
let now: number;

const interval = 100;

function follower(incarnation: number): FollowerSide {
  return new FollowerSide({
    incarnation,
    durableBatch: () => 7,
    electionTimeoutMs: 1000,
    changesPerMessageMax: 10,
    send: (message) => answers.push(message),
    endSupport: () => {},
    reconsider: () => {},
  });
}

function item(range: number): Leadership {
  const replica = (id: number): ReplicaId => toReplicaId(id);
  return { rangeId: toRangeId(range), term: toTerm(1), leader: replica(1), follower: replica(2) };
}

/** The next heartbeat. */
function beat(): StoreHeartbeat {
  now += interval;
  leader.onDue(now);
  const message = beats.at(-1);
  if (message === undefined) throw new RangeError('a heartbeat was due');
  return message;
}

function answerTo(message: StoreHeartbeat, side: FollowerSide): StoreHeartbeatResponse {
  side.onHeartbeat(message, now);
  const answer = answers.at(-1);
  if (answer === undefined) throw new RangeError('an answer was due');
  return answer;
}

const heldBy = (side: FollowerSide): readonly RangeId[] | undefined => side.session?.led.rangeIds();

beforeEach(() => {
  beats = [];
  answers = [];
  now = 0;
  leader = new LeaderSide({
    incarnation: 1,
    durableBatch: () => 7,
    heartbeatIntervalMs: interval,
    electionTimeoutMs: 1000,
    changesPerMessageMax: 10,
    send: (message) => beats.push(message),
    beforeChange: () => {},
    reconsider: () => {},
  });
});

it('what is led no more when the first answer comes is told to be so', () => {
  const side = follower(1);
  leader.add(item(4), now);
  const slow = answerTo(beat(), side);
  leader.remove(toRangeId(4));
  leader.add(item(1), now);
  leader.onAnswer(slow, now);
  answerTo(beat(), side);
  expect(heldBy(side)).toEqual([1]);
});

it('what a late heartbeat brought to a new life goes when that life is known', () => {
  const before = follower(1);
  leader.add(item(4), now);
  const first = beat();
  leader.onAnswer(answerTo(first, before), now);
  leader.remove(toRangeId(4));
  leader.add(item(1), now);
  leader.onAnswer(answerTo(beat(), before), now);

  const after = follower(2);
  leader.onAnswer(answerTo(first, after), now);
  expect(heldBy(after)).toEqual([4]);
  leader.onAnswer(answerTo(beat(), after), now);
  expect(heldBy(after)).toEqual([1]);
  leader.add(item(2), now);
  expect(beat().delta).toMatchObject({ set: [{ rangeId: 2 }] });
});
