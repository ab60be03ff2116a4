import { clockCases } from '@flotilla/base/testing';
import { describe, it } from 'vitest';
import { Host } from './host.ts';
import { World } from './world.ts';

describe.each([
  ['true', { rate: 1, wallOffsetMs: 0, timerLateMsMax: 0 }],
  ['fast, ahead and late', { rate: 1.01, wallOffsetMs: 60_000, timerLateMsMax: 8 }],
  ['slow and behind', { rate: 0.99, wallOffsetMs: -60_000, timerLateMsMax: 1 }],
])("a host's clock, %s", (_name, clocks) => {
  it.each(clockCases)('$title', async ({ run }) => {
    const world = new World(7);
    const host = new Host(world, 'store-1', 1, clocks);
    host.start();
    const clock = host.clock();
    await run({
      clock,
      async pass(ms) {
        // An event at the end of the time: a world without one stands still.
        const until = world.nowMs() + ms / clocks.rate;
        world.after(ms / clocks.rate, { kind: 'world', run: () => {} });
        await world.run(until, () => false);
      },
    });
  });
});
