/** Stores as `flotilla store status` shows them. */
import { expect, it } from 'vitest';
import { type StoreLine, storeText } from './store-command.ts';

const line: StoreLine = {
  ...{ storeId: 1, machine: 'm1', zone: '', version: '1', silentMs: 0, reportEveryMs: 5000 },
  ...{ replicas: 3, placed: 3, leases: 1, capacityBytes: 0, usedBytes: 0, requestsPerSecond: 0 },
  ...{ draining: false, decommissioning: false },
};

it('shows a store as silent that has missed three of its own rows', () => {
  const state = (changes: Partial<StoreLine>): string =>
    /(alive|silent|drain\w+)/.exec(
      storeText([{ ...line, ...changes }]).split('\n')[1] ?? '',
    )?.[0] ?? '';
  expect(state({ silentMs: 15_000 })).toBe('alive');
  expect(state({ silentMs: 15_001 })).toBe('silent');
  expect(state({ silentMs: 60_000, reportEveryMs: 60_000 })).toBe('alive');
  expect(state({ silentMs: 3001, reportEveryMs: 1000 })).toBe('silent');
  expect(state({ draining: true })).toBe('draining');
});

it('shows as many replicas as the index of ranges knows of, which hears of a move first', () => {
  const replicas = (placed: number | undefined): string | undefined =>
    storeText([{ ...line, replicas: 14, placed }])
      .split('\n')[1]
      ?.split(/ {2,}/)[5];
  expect(replicas(0)).toBe('0');
  expect(replicas(undefined)).toBe('14');
});
