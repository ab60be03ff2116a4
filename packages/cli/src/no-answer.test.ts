/** What a command says where nobody answers, or not everybody. */
import { DbError } from '@flotilla/base';
import type { DiscoveredStore } from '@flotilla/router';
import { expect, it } from 'vitest';
import { explained, hopeless, hopelessness } from './no-answer.ts';
import { plainPaint, statusText } from './status/status-table.ts';

const names = { cluster: 'other', nats: ['nats://10.0.0.9:4222'] };

function store(storeId: number, founded = true): DiscoveredStore {
  const clusterId = founded ? Uint8Array.of(1) : new Uint8Array(0);
  return { storeId, clusterId, version: '1', knownStoreIds: founded ? [1, 2, 3] : [] };
}

const seeing = (...stores: readonly DiscoveredStore[]) => ({
  discover: () => Promise.resolve(stores),
});

it('names cluster and servers where no store answers, and does not say that it is not founded', () => {
  expect(hopeless([], names)).toMatch(/^no store of cluster "other" answers at nats:.*--cluster/);
  const text = statusText({ clusterId: '', stores: [], ranges: [] }, plainPaint);
  expect(text).not.toContain('init');
});

it('says how a cluster is founded whose stores wait for it', () => {
  expect(hopeless([store(1, false), store(4, false)], names)).toBe(
    'the cluster is not founded yet (s1, s4 wait for it): run `flotilla init --stores 2`',
  );
  expect(hopeless([store(1, false), store(2)], names)).toBe(undefined);
});

it('adds who is silent to a failure for want of an answer, and to no other', async () => {
  const late = new DbError('TIMEOUT', 'no final answer');
  expect(await explained(late, seeing(store(2)), names)).toMatch(
    /^no final answer \(s1, s3 do not answer: start what does not run/,
  );
  expect(await explained(late, seeing(store(1), store(2), store(3)), names)).toBe(
    'no final answer',
  );
  expect(await explained(late, seeing(), names)).toMatch(/^no final answer \(no store of cluster/);
  const wrong = new DbError('INVALID_ARGUMENT', 'there is none');
  expect(await explained(wrong, seeing(), names)).toBe('there is none');
});

it('gives up where stores say that there is no cluster, and only tells where nobody says anything', async () => {
  const told: string[] = [];
  const tell = (line: string): void => void told.push(line);
  await expect(hopelessness(seeing(store(1, false)), names, tell)).rejects.toThrow('init');
  expect(told).toEqual([]);
  void hopelessness(seeing(), names, tell);
  void hopelessness(seeing(store(1)), names, tell);
  await new Promise((resolve) => setImmediate(resolve));
  expect(told).toEqual([expect.stringMatching(/^still waiting: no store of cluster "other"/)]);
});
