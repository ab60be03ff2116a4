import {
  encodeFrame,
  toRangeId,
  toReplicaId,
  toStoreId,
  toTerm,
  toTimestamp,
} from '@flotilla/base';
import { encodeRaftMessage } from '@flotilla/raft';
import type { GroupInside } from '@flotilla/raft/testing';
import { expect, it } from 'vitest';
import { ReplicaMemory } from './ledger.ts';
import { checkPromises, messagesIn, notePromise, promiseOf } from './promises.ts';

function frameWithVote(term: number, candidate: number, voteGranted: boolean): Uint8Array {
  const message = encodeRaftMessage({
    kind: 'requestVoteResponse',
    rangeId: toRangeId(7),
    from: toReplicaId(2),
    to: toReplicaId(candidate),
    term: toTerm(term),
    voteGranted,
  });
  const header = {
    clusterId: new Uint8Array(16),
    timestamp: toTimestamp(0),
    sender: { kind: 'store' as const, storeId: toStoreId(1) },
  };
  return encodeFrame(header, [message]);
}

function heard(...frames: Uint8Array[]): ReplicaMemory {
  const memory = new ReplicaMemory(7, 2, 'store-1', {});
  for (const frame of frames)
    for (const message of messagesIn(frame)) {
      const made = promiseOf(message);
      if (made !== undefined) notePromise(memory, made);
    }
  return memory;
}

function opened(term: number, votedFor: number | undefined): GroupInside {
  return { state: { currentTerm: term, votedFor } } as unknown as GroupInside;
}

it('a vote that was given is there when the log is opened', () => {
  const memory = heard(frameWithVote(3, 1, true));
  expect(() => checkPromises(memory, opened(3, 1))).not.toThrow();
  expect(() => checkPromises(memory, opened(4, undefined))).not.toThrow();
  expect(() => checkPromises(memory, opened(3, undefined))).toThrow('vote of t3 to 1');
  expect(() => checkPromises(memory, opened(2, undefined))).toThrow('opened in t2');
});

it('a refusal promises nothing', () => {
  const memory = heard(frameWithVote(3, 1, false));
  expect(() => checkPromises(memory, opened(2, undefined))).not.toThrow();
});

it('one vote in a term, to one candidate', () => {
  expect(() => heard(frameWithVote(3, 1, true), frameWithVote(3, 1, true))).not.toThrow();
  expect(() => heard(frameWithVote(3, 1, true), frameWithVote(4, 3, true))).not.toThrow();
  expect(() => heard(frameWithVote(3, 1, true), frameWithVote(3, 3, true))).toThrow('and to 3');
});
