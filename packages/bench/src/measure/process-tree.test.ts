import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { runsAsProcess, treesOf, usageOf } from './process-tree.ts';

test('a child counts for its parent, and a process that is not there for nothing', async () => {
  const child = spawn('sh', ['-c', 'echo up; head -c 1 >/dev/null; :'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  // A process that is spawned has no memory of its own until it has become what it runs.
  await once(child.stdout, 'data');
  const pid = child.pid ?? 0;
  const [own, ofChild, ofNobody] = usageOf([process.pid, pid, 2 ** 22 + 1]);
  expect(own?.cpuSeconds).toBeGreaterThan(0);
  expect(own?.residentBytes).toBeGreaterThan(1_000_000);
  // It is a root of its own here, so it does not count for us as well.
  expect(ofChild?.residentBytes).toBeGreaterThan(0);
  expect(ofChild?.residentBytes).toBeLessThan(own?.residentBytes ?? 0);
  expect(ofNobody).toEqual({ cpuSeconds: 0, residentBytes: 0 });
  expect(treesOf([process.pid])).toEqual(expect.arrayContaining([process.pid, pid]));
  expect(treesOf([pid])).not.toContain(process.pid);
  expect([runsAsProcess(pid), runsAsProcess(2 ** 22 + 1)]).toEqual([true, false]);
  child.stdin?.end('x');
  await once(child, 'exit');
  expect(runsAsProcess(pid)).toBe(false);
});
