import { keyMax, present, SeededPrng, toStoreId } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { expect, it } from 'vitest';
import type { Replica } from '../replica/replica.ts';
import { rangesOn } from '../testing/ranges-on.ts';
import type { MetaIndex } from './meta-index.ts';
import { absorbReport, RangeReporter } from './range-reports.ts';

interface Led {
  readonly rangeId: number;
  term: number;
  readonly descriptor: { generation: number };
  leaseholder: { isReady: boolean } | undefined;
}

it('tells what is new a few times, and of the rest a slice now and then', () => {
  const clock = new ManualClock();
  const replicas = new Map<number, Led>();
  for (let rangeId = 1; rangeId <= 200; rangeId++)
    replicas.set(rangeId, {
      rangeId,
      term: 1,
      descriptor: { generation: 1 },
      leaseholder: { isReady: true },
    });
  let sent: number[] = [];
  const reporter = new RangeReporter({
    clock,
    prng: new SeededPrng(1),
    replicas: withInfo(replicas),
    rangesPerReport: 64,
    send: (ranges) => sent.push(...ranges.map(({ term }) => term ?? 0)),
  });
  const during = (ms: number): number[] => {
    sent = [];
    for (let at = 0; at < ms; at += 10) clock.advance(10);
    return sent;
  };
  const timesOf = (rangeId: number): number => sent.filter((id) => id === rangeId).length;
  reporter.start();
  during(9000);
  expect([1, 100, 200].map(timesOf)).toEqual([5, 5, 5]);
  // One more leader, which is not ready at first: it is told of, five times, and nobody else is.
  const late = replicas.get(7);
  if (late === undefined) throw new Error('there is a range 7');
  late.term = 2;
  late.leaseholder = { isReady: false };
  reporter.onChange();
  during(1500);
  expect(sent).toEqual([]);
  late.leaseholder = { isReady: true };
  expect(new Set(during(8000))).toEqual(new Set([7]));
  expect(timesOf(7)).toBe(5);
  late.descriptor.generation = 2;
  reporter.onChange();
  expect(during(8000)).toEqual([7, 7, 7, 7, 7]);
  // All of it within four slices of the calm.
  during(50_000);
  expect(new Set(sent).size).toBe(200);
  expect(sent.length).toBeLessThan(64 * 7);
  reporter.stop();
  expect(during(20_000)).toEqual([]);
});

const bounds = [Buffer.alloc(0), Buffer.of(0x03), Buffer.of(0x50), Buffer.from(keyMax)];
const ranges = rangesOn([1, 2, 3].map(toStoreId), bounds);
const first = present(ranges[0], 'the first range');

it('tells all again when a part of the index has another leaseholder, once for each of its terms', () => {
  const clock = new ManualClock();
  const replicas = new Map(
    ranges
      .slice(1)
      .map((descriptor) => [
        descriptor.rangeId,
        { rangeId: descriptor.rangeId, term: 1, descriptor, leaseholder: { isReady: true } },
      ]),
  );
  let sent: number[] = [];
  const reporter = new RangeReporter({
    clock,
    prng: new SeededPrng(1),
    replicas: withInfo(replicas),
    rangesPerReport: 64,
    send: (infos) => sent.push(...infos.map(({ term }) => term ?? 0)),
  });
  reporter.start();
  const during = (ms: number): number[] => {
    sent = [];
    for (let at = 0; at < ms; at += 10) clock.advance(10);
    return sent;
  };
  during(6000);
  for (const term of [2, 2, 1]) reporter.onReport([{ descriptor: first, term }]);
  const told = during(2000);
  expect(told.filter((id) => id === ranges[1]?.rangeId)).toHaveLength(2);
  expect(told.filter((id) => id === ranges[2]?.rangeId)).toHaveLength(2);
  reporter.onReport([{ descriptor: present(ranges[1], 'a range'), term: 9 }]);
  expect(during(2000)).toEqual([]);
  reporter.onReport([{ descriptor: first, term: 3 }]);
  expect(during(2000)).toHaveLength(4);
});

it('keeps what a leaseholder cannot write yet', () => {
  const said = { descriptor: present(ranges[1], 'a range'), term: 1 };
  const leaseholder = { isReady: false, internalWrite: () => false, view: () => ({}) };
  const part = { leaseholder };
  const index = { parts: () => [part], partWith: () => part } as unknown as MetaIndex;
  expect(absorbReport(index, [said])).toEqual({ elsewhere: [], unwritten: [said] });
  const nowhere = { parts: () => [], partWith: () => undefined } as unknown as MetaIndex;
  expect(absorbReport(nowhere, [said])).toEqual({ elsewhere: [said], unwritten: [] });
});

it('has what belongs to a part with a follower here sent on to its leaseholder', () => {
  const said = { descriptor: present(ranges[1], 'a range'), term: 1 };
  const follower = { leaseholder: undefined };
  const index = { parts: () => [follower], partWith: () => follower } as unknown as MetaIndex;
  expect(absorbReport(index, [said])).toEqual({ elsewhere: [said], unwritten: [] });
});

/** Replicas that call themselves by their range where the wire says term. */
function withInfo(replicas: Map<number, Pick<Led, 'rangeId'>>): ReadonlyMap<number, Replica> {
  for (const replica of replicas.values())
    Object.assign(replica, { info: () => ({ term: replica.rangeId }) });
  return replicas as unknown as ReadonlyMap<number, Replica>;
}
