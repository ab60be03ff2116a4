import { expect, it } from 'vitest';
import type { KvJob } from './kv-job.ts';
import { runLoad } from './run-load.ts';

const job: KvJob = {
  ...{ clients: 4, seconds: 0.05, warmUpSeconds: 0, keyBytes: 8, valueBytes: 8, keys: 10 },
  ...{ operation: { kind: 'mix', readShare: 0 }, seed: 1 },
};

it('counts what succeeded and what failed, in both kinds of load', async () => {
  for (const rate of [undefined, 1000]) {
    let calls = 0;
    const operation = () => async (): Promise<void> => {
      calls++;
      const fails = calls === 1;
      await new Promise(setImmediate);
      if (fails) throw new Error('no such luck');
    };
    const result = await runLoad(operation, rate === undefined ? job : { ...job, rate });
    expect(result.operations).toBeGreaterThan(0);
    expect(result.errors).toBe(1);
    expect(result.lastError).toBe('no such luck');
    expect(result.operations + result.errors).toBeLessThanOrEqual(calls);
    expect(result.latency.p50).toBeLessThanOrEqual(result.latency.p999);
  }
});

it('is no result if nothing succeeded', async () => {
  const operation = () => () => Promise.reject(new Error('nobody there'));
  await expect(runLoad(operation, job)).rejects.toThrow(/no operation succeeded.*nobody there/);
});
