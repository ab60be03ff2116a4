import { expect, it } from 'vitest';
import type { KvClient } from './kv-client.ts';
import { measureWriteGap } from './write-gap.ts';

/** Only `put` is asked for. */
function clientWith(put: KvClient['put']): KvClient {
  const never = (): never => {
    throw new Error('nobody asks for this');
  };
  const rest = { get: never, version: never, putIfVersion: never, scan: never };
  return { put, ...rest, close: async () => undefined };
}

function moment(): { readonly comes: Promise<void>; readonly now: () => void } {
  let now = (): void => undefined;
  const comes = new Promise<void>((resolve) => {
    now = resolve;
  });
  return { comes, now: () => now() };
}

it('is steady when every writer has written, and counts a wait up to the very end', async () => {
  let calls = 0;
  let stuck = false;
  const [steady, released] = [moment(), moment()];
  const client = clientWith(async () => {
    if (++calls <= 3) throw new Error('no leader yet');
    if (stuck) await released.comes;
  });
  const until = steady.comes.then(async () => {
    // From here on nothing is answered any more.
    stuck = true;
    const from = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 40));
    setTimeout(released.now, 0);
    return performance.now() - from;
  });
  const { gapMs, writes, failedAttempts } = await measureWriteGap(client, steady.now, until);
  expect(failedAttempts).toBe(3);
  expect(writes).toBeGreaterThanOrEqual(16);
  expect(gapMs).toBeGreaterThan((await until) / 2);
});
