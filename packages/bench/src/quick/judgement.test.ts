import { expect, it } from 'vitest';
import { type Committed, judge, type Measured, parseCommitted, ratiosOf } from './judgement.ts';

const committed: Committed = {
  ...{ version: 1, date: '2026-01-01', stolenShare: 0, othersShare: 0 },
  machine: { processors: 2, model: 'm', memoryGib: 1, kernel: 'k', node: 'v20' },
  ratios: { put: 100, get: 400 },
};

/** Rates of a machine whose calibration takes so long. */
function measured(rates: Readonly<Record<string, readonly number[]>>, loop = 0.5): Measured {
  const turns = Object.entries(rates).map(([name, of]) => [
    name,
    of.map((operationsPerSecond) => ({
      operationsPerSecond,
      loopSeconds: [loop * 0.9, loop * 1.1] as const,
    })),
  ]);
  return { turns: Object.fromEntries(turns), stolenShare: 0, othersShare: 0 };
}

it('compares what is done in the time of the calibration, the median of the turns', () => {
  const fast = measured({ put: [200, 10, 210], get: [800, 800, 9000] }, 0.5);
  expect(ratiosOf(fast)).toEqual({ put: 100, get: 400 });
  expect(judge(fast, committed, 0.2)).toMatchObject({
    verdict: 'held',
    changes: { put: 0, get: 0 },
  });
  // A machine of half the speed does half as much in twice the time.
  const slow = measured({ put: [100], get: [400] }, 1);
  expect(judge(slow, committed, 0.2)).toMatchObject({
    verdict: 'held',
    changes: { put: 0, get: 0 },
  });
});

it('says what fell, and allows as much as it shall', () => {
  expect(judge(measured({ put: [158], get: [800] }), committed, 0.2)).toMatchObject({
    ...{ verdict: 'fell', reason: 'put by 21 %' },
  });
  expect(judge(measured({ put: [161], get: [800] }), committed, 0.2).verdict).toBe('held');
});

it('does not judge on a machine that was not ours, neither a fall nor a rise', () => {
  for (const put of [10, 1000]) {
    const run = measured({ put: [put], get: [800] });
    expect(judge({ ...run, stolenShare: 0.11 }, committed, 0.2)).toMatchObject({
      ...{ verdict: 'not judged', reason: expect.stringContaining('hypervisor kept 11 %') },
    });
    expect(judge({ ...run, othersShare: 0.3 }, committed, 0.2)).toMatchObject({
      ...{ verdict: 'not judged', reason: expect.stringContaining('other programs') },
    });
  }
});

it('does not judge by what was written down on a machine that was not ours', () => {
  const run = measured({ put: [10], get: [800] });
  expect(judge(run, { ...committed, othersShare: 0.7 }, 0.2)).toMatchObject({
    ...{ verdict: 'not judged', reason: expect.stringContaining('committed was measured while') },
  });
});

it('does not judge what was not measured in both', () => {
  expect(judge(measured({ put: [200] }), committed, 0.2)).toMatchObject({
    ...{ verdict: 'not judged', reason: expect.stringContaining('get') },
  });
  expect(judge(measured({ put: [200], get: [800], scan: [1] }), committed, 0.2)).toMatchObject({
    ...{ verdict: 'not judged', reason: expect.stringContaining('scan') },
  });
});

it('reads back what it wrote down, and nothing else', () => {
  expect(parseCommitted(JSON.stringify(committed))).toEqual(committed);
  expect(() => parseCommitted('{}')).toThrow(/no committed ratios/);
  expect(() => parseCommitted(JSON.stringify({ ...committed, ratios: { put: 0 } }))).toThrow();
  expect(() => parseCommitted('null')).toThrow(/no committed ratios/);
});
