import { expect, it } from 'vitest';
import { probe, probeCounts, probeNames, resetProbes } from './probe.ts';

it('counts how often a path was taken, per name, until it is reset', () => {
  resetProbes();
  probe('walTornTail');
  probe('walTornTail');
  probe('followerRead');
  expect(probeCounts().get('walTornTail')).toBe(2);
  expect(probeCounts().get('followerRead')).toBe(1);
  expect(probeCounts().get('jointLeft')).toBe(0);
  expect([...probeCounts().keys()]).toEqual([...probeNames]);
  resetProbes();
  expect([...probeCounts().values()].every((count) => count === 0)).toBe(true);
});
