import { SeededPrng } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { expect, it } from 'vitest';
import type { Replica } from '../replica/replica.ts';
import { RangeReporter } from './range-reports.ts';

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

/** Replicas that call themselves by their range where the wire says term. */
function withInfo(replicas: Map<number, Led>): ReadonlyMap<number, Replica> {
  for (const replica of replicas.values())
    Object.assign(replica, { info: () => ({ term: replica.rangeId }) });
  return replicas as unknown as ReadonlyMap<number, Replica>;
}
