#!/usr/bin/env node
/** The same data cut into ever more ranges: what a read and a write of one key cost, in CPU of all processes. */
import { concatBytes, kvPrefix } from '@flotilla/base';
import type { Flotilla } from '@flotilla/client';
import { openRouter, openSdk } from '../harness/connections.ts';
import { eventually, sleep } from '../harness/eventually.ts';
import { cpuMsOf } from '../harness/process-usage.ts';
import { type Campaign, runCampaign } from './campaign.ts';
import { shapeOf } from './parts/cluster-shape.ts';

const valueBytes = 100;

await runCampaign(
  {
    name: 'bench:ranges',
    about: `Three stores, one key-value span of --keys keys, cut evenly into each of --counts ranges, on a new cluster each time. Clients
read, then write, keys at random in a closed loop; CPU is that of stores, nats-server and clients, from /proc, less what the same
cluster uses when nobody asks. Per read and per write it may not differ by more than --flat percent from that of the first count.`,
    knobs: {
      counts: { byDefault: '1,10,100,1000', text: 'numbers of ranges, the first is the measure' },
      keys: { byDefault: '20000', text: 'keys' },
      seconds: { byDefault: '20', text: 'of reads, and of writes' },
      clients: { byDefault: '48', text: 'operations under way at once' },
      flat: { byDefault: '15', text: 'percent that the cost may differ' },
    },
  },
  async (campaign) => {
    const costs: { ranges: number; read: number; write: number }[] = [];
    for (const ranges of campaign.numbers('counts')) costs.push(await measure(campaign, ranges));
    const [first] = costs;
    for (const each of costs.slice(1))
      for (const kind of ['read', 'write'] as const) {
        const share = (100 * each[kind]) / (first?.[kind] ?? 0) - 100;
        campaign.promise(
          `a ${kind} over ${each.ranges} ranges costs what it costs over ${first?.ranges}`,
          Math.abs(share) <= campaign.number('flat'),
          `${each[kind].toFixed(0)} us, ${share > 0 ? '+' : ''}${share.toFixed(1)} %`,
        );
      }
  },
);

async function measure(
  campaign: Campaign,
  ranges: number,
): Promise<{ ranges: number; read: number; write: number }> {
  const cluster = await campaign.cluster({
    stores: 3,
    ranges: 4,
    settings: { FLOTILLA_SPLIT_BYTES: '0', FLOTILLA_SPLIT_REQUESTS_PER_SECOND: '0' },
  });
  const { router, close } = await openRouter(cluster);
  const client = await openSdk(cluster);
  const keys = campaign.number('keys');
  const value = Buffer.alloc(valueBytes, 'v');
  let next = 0;
  await lanes(16, async () => {
    while (next < keys) await client.kv.put(keyOf(next++), value);
  });
  let cut = 1;
  await lanes(4, async () => {
    while (cut < ranges) {
      const key = concatBytes(kvPrefix, Buffer.from(keyOf(Math.floor((keys * cut++) / ranges))));
      await eventually('the range is cut', { timeoutMs: 60_000 }, async () => {
        await router.split(key, { timeoutMs: 20_000 });
        return true;
      });
    }
  });
  // Balancing has an end, and hand-overs are not what is measured.
  let seen = '';
  await eventually('nothing moves', { timeoutMs: 300_000, everyMs: 5000 }, async () => {
    const { unwell, leases, ranges: found } = await shapeOf(router, [1, 2, 3]);
    const same = seen === leases.join('/');
    seen = leases.join('/');
    return same && unwell === 0 && found === ranges + 3 ? true : undefined;
  });
  const pids = [...cluster.pids.values(), process.pid];
  const ms = campaign.number('seconds') * 1000;
  const idleFrom = await cpuMsOf(pids);
  await sleep(5000);
  const idleShare = ((await cpuMsOf(pids)) - idleFrom) / 5000;
  const cost = async (operation: (client: Flotilla) => Promise<unknown>): Promise<number> => {
    await run(2000, campaign.number('clients'), () => operation(client));
    const [from, startedAt] = [await cpuMsOf(pids), performance.now()];
    const operations = await run(ms, campaign.number('clients'), () => operation(client));
    const spent = (await cpuMsOf(pids)) - from - idleShare * (performance.now() - startedAt);
    return (spent * 1000) / operations;
  };
  const anyKey = (): string => keyOf(Math.floor(Math.random() * keys));
  const read = await cost((each) => each.kv.get(anyKey()));
  const write = await cost((each) => each.kv.put(anyKey(), value));
  campaign.figure(`${ranges} ranges`, {
    ...{ 'us per read': Math.round(read), 'us per write': Math.round(write) },
    ...{ 'idle, % of a core': Math.round(1000 * idleShare) / 10, leases: seen },
  });
  await client.close();
  await close();
  await cluster.stop({ keepData: false });
  return { ranges, read, write };
}

function keyOf(n: number): string {
  return `key-${String(n).padStart(9, '0')}`;
}

async function lanes(count: number, lane: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, lane));
}

/** @returns how many were done */
async function run(
  ms: number,
  clients: number,
  operation: () => Promise<unknown>,
): Promise<number> {
  const until = performance.now() + ms;
  let done = 0;
  await lanes(clients, async () => {
    while (performance.now() < until) {
      await operation();
      done++;
    }
  });
  return done;
}
