/** Three stores with a thousand groups start at once: who campaigns, how often, and how long it takes. */
import { expect, it } from 'vitest';
import { isStoreMessage } from '../store-messages.ts';
import { DriverCluster } from '../testing/driver-cluster.ts';

const ranges = 1000;

it('a thousand groups settle within seconds after a restart of all stores, under their last leaders, without a storm', async () => {
  const c = new DriverCluster({ ranges });
  await c.elected();
  await c.run(2000, 50);
  const before = c.rangeIds.map((id) => c.leader(id)?.storeId);
  for (const node of [...c.nodes]) c.restart(node.storeId);
  c.history = [];
  const at = c.clock.nowMs();
  while (c.rangeIds.some((id) => c.leader(id) === undefined) && c.clock.nowMs() < at + 10_000)
    await c.run(20, 20);
  expect(c.clock.nowMs() - at).toBeLessThan(2500); // E of silence (L3), then the jitter
  await c.run(2000, 50);
  const kept = c.rangeIds.filter((id, i) => c.leader(id)?.storeId === before[i]);
  expect(kept.length).toBeGreaterThan(ranges * 0.95);
  const ofGroups = c.history.filter(({ message }) => !isStoreMessage(message));
  // Two of each: pre-vote, vote, first append, heartbeats until all is known, and their answers.
  expect(ofGroups.length).toBeLessThan(ranges * 24);
  const campaigns = ofGroups.filter(({ message }) => message.kind === 'requestVoteRequest');
  expect(campaigns.length).toBeLessThan(ranges * 2 * 1.1);
  c.history = [];
  await c.run(1000, 50);
  expect(c.history.filter(({ message }) => !isStoreMessage(message))).toEqual([]);
});

it('the groups of a lost store campaign a few per turn', async () => {
  const c = new DriverCluster({
    ranges: 300,
    driverLimits: { ticksPerTurnMax: 10, reviewsPerTurnMax: 10 },
  });
  await c.elected();
  await c.run(2000, 50);
  c.node(1).cut = true;
  const led = c.rangeIds.filter((id) => c.node(1).raft.status(id)?.role === 'leader');
  expect(led.length).toBeGreaterThan(30);
  c.history = [];
  let mostAtOnce = 0;
  let seen = 0;
  const { afterTurn } = c.clock;
  c.clock.afterTurn = (callback) =>
    afterTurn.call(c.clock, () => {
      seen = c.history.length;
      callback();
      const campaigns = c.history
        .slice(seen)
        .filter(({ message }) => message.kind === 'preVoteRequest').length;
      mostAtOnce = Math.max(mostAtOnce, campaigns);
    });
  await c.run(3000, 20);
  for (const id of led) expect(c.leader(id)).toBeDefined();
  expect(mostAtOnce).toBeGreaterThan(0);
  expect(mostAtOnce).toBeLessThanOrEqual(2 * 10);
});
