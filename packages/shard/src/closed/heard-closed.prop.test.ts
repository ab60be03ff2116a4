/**
 * What one store tells another about closed timestamps, over a network that loses, doubles and reorders: whatever the
 * other believes is true. The oracle remembers every write with its index and timestamp.
 */
import { HybridLogicalClock, toStoreId, toTimestamp } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeardClosed } from './heard-closed.ts';
import { type ClosedMessage, ToldRanges } from './told-ranges.ts';

const leader = toStoreId(1);
const ranges = [1, 2, 3, 4, 5];

type Step =
  | { readonly kind: 'write'; readonly range: number }
  | { readonly kind: 'walk'; readonly without: number }
  | { readonly kind: 'deliver'; readonly which: number; readonly keep: boolean }
  | { readonly kind: 'lose'; readonly which: number }
  | { readonly kind: 'restart'; readonly which: 'leader' | 'follower' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      range: fc.constantFrom(...ranges),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('walk' as const),
      without: fc.constantFrom(0, 0, 0, ...ranges),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('deliver' as const),
      which: fc.constantFrom(0, 0, 0, 0, 0, 1, 2),
      keep: fc.constantFrom(false, false, false, true),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lose' as const), which: fc.nat(3) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('restart' as const),
      which: fc.constantFrom('leader' as const, 'follower' as const),
    }),
  },
);

function run(steps: readonly Step[], changesPerMessage = 2): { readonly believed: number } {
  const clock = new ManualClock();
  const hlc = new HybridLogicalClock(clock, { maxOffsetMs: 250 });
  let heard = new HeardClosed(hlc);
  let incarnation = 1;
  let told = new ToldRanges({ incarnation, changesPerMessage });
  let time = 1000;
  let believed = 0;
  let wire: ClosedMessage[] = [];
  const log = new Map<number, number[]>(ranges.map((range) => [range, [1]]));
  const entries = (range: number): number[] => log.get(range) ?? [];
  for (const each of steps) {
    time += 10;
    switch (each.kind) {
      case 'write':
        entries(each.range).push(time);
        break;
      case 'walk':
        for (const range of ranges)
          if (range !== each.without) told.note(range, entries(range).length);
        wire.push(...told.take(toTimestamp(time)));
        break;
      case 'deliver': {
        const message = wire[each.which];
        if (message === undefined) break;
        if (!each.keep) wire = wire.filter((other) => other !== message);
        if (heard.receive(leader, message) === 'missed' && message.incarnation === incarnation)
          told.forget();
        break;
      }
      case 'lose':
        wire = wire.filter((_, at) => at !== each.which);
        break;
      case 'restart':
        if (each.which === 'follower') heard = new HeardClosed(hlc);
        else told = new ToldRanges({ incarnation: ++incarnation, changesPerMessage });
        break;
    }
    for (const range of ranges)
      for (let applied = 1; applied <= entries(range).length; applied++) {
        const closed = heard.closedAt(range, applied);
        if (closed > 0) believed++;
        // Everything behind what is applied is above what is closed.
        expect(Math.min(...entries(range).slice(applied), Infinity)).toBeGreaterThan(closed);
      }
  }
  return { believed };
}

describe('closed timestamps between two stores', () => {
  it('are true, whatever the network does', () => {
    const steps = fc.array(step, { minLength: 1, maxLength: 60 });
    let believed = 0;
    fc.assert(
      fc.property(steps, fc.constantFrom(1, 2, 10), (each, changesPerMessage) => {
        believed += run(each, changesPerMessage).believed;
      }),
      { numRuns: 300 },
    );
    expect(believed).toBeGreaterThan(100);
  });

  it('are heard: what is lost once is told again', () => {
    const walk: Step = { kind: 'walk', without: 0 };
    const deliver: Step = { kind: 'deliver', which: 0, keep: false };
    const threeParts: readonly Step[] = [walk, deliver, deliver, deliver];
    const lost: Step = { kind: 'lose', which: 0 };
    expect(run(threeParts).believed).toBe(ranges.length);
    const write: Step = { kind: 'write', range: 3 };
    const missed = [...threeParts, write, walk, lost];
    const before = run([...missed, walk, deliver]).believed;
    expect(run([...missed, walk, deliver, ...threeParts]).believed).toBeGreaterThan(before);
    expect(run([{ kind: 'restart', which: 'follower' }, ...threeParts]).believed).toBe(5);
  });
});
