import { expect, it } from 'vitest';
import { pacedWorkloads, workloads } from './workloads.ts';

it('gives every workload a name of its own and a place of its own in its figure', () => {
  const all = [...workloads, ...pacedWorkloads([500, 1000])];
  expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  expect(new Set(all.map(({ group, point }) => `${group} ${point}`)).size).toBe(all.length);
});

it('offers the mixes of most clients at each rate', () => {
  const paced = pacedWorkloads([500, 1000]);
  expect(paced.map(({ name }) => name)).toContain('kv-put-256-64B@1000');
  expect(paced).toHaveLength(3 * 2 * 2);
  for (const { name, job } of paced) expect(name.endsWith(`@${job.rate}`)).toBe(true);
});
