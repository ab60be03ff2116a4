import { toLogIndex, toReplicaId } from '@flotilla/base';
import { describe, expect, test } from 'vitest';
import { defaultLimits } from './limits.ts';
import { Inflights, Progress } from './progress.ts';

function progress(nextIndex: number): Progress {
  return new Progress({ replicaId: toReplicaId(2), isSelf: false, nextIndex, now: 0 });
}

/** Of the leader's log: nothing is compacted. */
const first = toLogIndex(1);

describe('progress', () => {
  test('probes with one request until it is answered', () => {
    const peer = progress(5);
    expect(peer.maySendEntries(defaultLimits)).toBe(true);
    peer.onSentEntries(7, 10);
    expect([peer.nextIndex, peer.maySendEntries(defaultLimits)]).toEqual([5, false]);
    expect(peer.onMatched(toLogIndex(7), first)).toBe(true);
    expect([peer.state, peer.matchIndex, peer.nextIndex]).toEqual(['replicate', 7, 8]);
  });

  test('pipelines when it replicates, and frees what is acknowledged', () => {
    const peer = progress(1);
    peer.onMatched(toLogIndex(0), first);
    peer.onSentEntries(2, 10);
    peer.onSentEntries(5, 20);
    expect([peer.nextIndex, peer.inflights.count, peer.inflights.bytes]).toEqual([6, 2, 30]);
    peer.onMatched(toLogIndex(4), first);
    expect([peer.inflights.count, peer.inflights.bytes]).toEqual([1, 20]);
    expect(peer.onMatched(toLogIndex(3), first)).toBe(false); // late
    expect(peer.matchIndex).toBe(4);
  });

  test('goes back where a refusal says, never below what matches', () => {
    const peer = progress(1);
    peer.onMatched(toLogIndex(3), first);
    peer.onSentEntries(9, 10);
    expect(peer.onRejected(toLogIndex(9), 2)).toBe(true);
    expect([peer.state, peer.nextIndex, peer.inflights.bytes]).toEqual(['probe', 4, 0]);
  });

  test('ignores refusals that newer knowledge has overtaken', () => {
    const peer = progress(1);
    peer.onMatched(toLogIndex(9), first);
    expect(peer.onRejected(toLogIndex(9), 2)).toBe(false);
    expect(peer.onRejected(toLogIndex(12), 2)).toBe(false); // nothing was sent at 12
    const probing = progress(9);
    expect(probing.onRejected(toLogIndex(4), 2)).toBe(false);
    expect(probing.onRejected(toLogIndex(8), 20)).toBe(true);
    expect(probing.nextIndex).toBe(8);
  });

  test('waits for a snapshot, and goes on where any answer says that the log does', () => {
    const peer = progress(9);
    peer.onSentEntries(9, 10);
    peer.becomeSnapshot();
    expect([peer.state, peer.nextIndex, peer.maySendEntries(defaultLimits)]).toEqual([
      'snapshot',
      1,
      false,
    ]);
    expect(peer.onRejected(toLogIndex(8), 3)).toBe(false);
    expect(peer.onMatched(toLogIndex(4), toLogIndex(6))).toBe(true); // its entry 5 is compacted
    expect([peer.state, peer.matchIndex]).toEqual(['snapshot', 4]);
    expect(peer.onMatched(toLogIndex(5), toLogIndex(6))).toBe(true);
    expect([peer.state, peer.nextIndex]).toEqual(['replicate', 6]);
  });

  test('a long stream of requests leaks neither messages nor bytes', () => {
    const inflights = new Inflights();
    for (let i = 1; i <= 10_000; i++) {
      inflights.add(i, i % 7);
      if (i > 50) inflights.freeTo(i - 50);
    }
    expect(inflights.count).toBe(50);
    inflights.freeTo(10_000);
    expect([inflights.count, inflights.bytes]).toEqual([0, 0]);
  });
});
