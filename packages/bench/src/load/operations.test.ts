import { expect, it } from 'vitest';
import type { KvClient } from './kv-client.ts';
import type { KvJob, KvOperation } from './kv-job.ts';
import { fill, operationsOf } from './operations.ts';

function memory(): KvClient & { readonly keys: string[] } {
  const keys: string[] = [];
  const has = (key: Buffer): boolean => keys.includes(key.toString());
  return {
    keys,
    async put(key) {
      keys.push(key.toString());
    },
    get: async (key) => has(key),
    version: async (key) => (has(key) ? 1 : undefined),
    putIfVersion: async () => true,
    scan: async (start, limit) =>
      Math.min(limit, keys.filter((key) => key >= start.toString()).length),
    close: async () => undefined,
  };
}

const jobOf = (operation: KvOperation, seed = 1): KvJob => ({
  ...{ clients: 1, seconds: 0, warmUpSeconds: 0, keyBytes: 24, valueBytes: 8, keys: 50 },
  ...{ operation, seed },
});

it('reads only what was written, and says if something is missing', async () => {
  const client = memory();
  const jobs = [
    jobOf({ kind: 'mix', readShare: 1 }),
    jobOf({ kind: 'scan', entries: 10 }),
    jobOf({ kind: 'ycsb', name: 'c' }),
  ];
  for (const job of jobs) await expect(operationsOf(client, job)(0)()).rejects.toThrow();
  await fill(client, jobOf({ kind: 'load' }), 7);
  expect(new Set(client.keys).size).toBe(50);
  for (const job of jobs) {
    const operation = operationsOf(client, job)(3);
    for (let i = 0; i < 200; i++) await operation();
  }
});

it('writes the same keys in every system, and others in the next turn', async () => {
  const keysOf = async (job: KvJob): Promise<readonly string[]> => {
    const client = memory();
    const operationOf = operationsOf(client, job);
    for (const number of [0, 1]) {
      const operation = operationOf(number);
      for (let i = 0; i < 20; i++) await operation();
    }
    return client.keys;
  };
  const puts = jobOf({ kind: 'mix', readShare: 0 });
  expect(await keysOf(puts)).toEqual(await keysOf(puts));
  expect(await keysOf(puts)).not.toEqual(await keysOf({ ...puts, seed: 2 }));
  // New keys are new: no two clients, turns or sizes of values have one in common.
  const load = jobOf({ kind: 'load' });
  const loads = [load, { ...load, seed: 2 }, { ...load, valueBytes: 9 }];
  const keys = (await Promise.all(loads.map(keysOf))).flat();
  expect(new Set(keys).size).toBe(3 * 40);
});
