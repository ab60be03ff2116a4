#!/usr/bin/env node
/** One large range gets a replica on a new store under load: neither side may hold much of it in memory, nobody loses a lease. */
import { concatBytes, kvPrefix, toStoreId } from '@flotilla/base';
import { openRouter, openSdk } from '../harness/connections.ts';
import { eventually, sleep } from '../harness/eventually.ts';
import { storeName } from '../harness/process-cluster.ts';
import { directoryUsage, percentile, usageOf } from '../harness/process-usage.ts';
import { type RangeLeader, rangeLeaders } from '../harness/range-leaders.ts';
import { RegisterWorkload } from '../harness/register-workload.ts';
import { runCampaign } from './campaign.ts';
import { promiseLinearizable } from './parts/registers.ts';

const valueBytes = 32 * 1024;
const growthMibMax = 150;

await runCampaign(
  {
    name: 'bench:snapshot',
    about: `Three stores, one range of --megabytes (nothing splits), a fourth store that balancing leaves alone. The range's replica
moves from a follower to the fourth store while keys of the range are read and written. The own resident memory of the sending leader and of
the receiver may grow by less than ${growthMibMax} MiB each over what they held before (views of LevelDB's tables are the system's cache), and no range may change its leader (counted by terms).`,
    knobs: {
      megabytes: { byDefault: '500', text: 'in the range' },
      within: { byDefault: '600', text: 'seconds for the move' },
    },
  },
  async (campaign) => {
    const cluster = await campaign.cluster({
      stores: 3,
      ranges: 4,
      settings: { FLOTILLA_SPLIT_BYTES: '0', FLOTILLA_SPLIT_REQUESTS_PER_SECOND: '0' },
    });
    const { router } = await openRouter(cluster);
    const client = await openSdk(cluster);
    const values = Math.ceil((campaign.number('megabytes') * 1e6) / valueBytes);
    let next = 0;
    const fillFrom = performance.now();
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        while (next < values) {
          const n = next++;
          // Of its own in every value: nothing that compression would make small.
          const value = Buffer.alloc(valueBytes);
          for (let i = 0; i < valueBytes; i += 4)
            value.writeInt32LE(Math.imul(n * valueBytes + i, 0x9e3779b1) ^ (n * i), i);
          await client.kv.put(`data-${String(n).padStart(8, '0')}`, value, { timeoutMs: 60_000 });
        }
      }),
    );
    campaign.figure('filled, s', (performance.now() - fillFrom) / 1000);
    const registers = new RegisterWorkload({
      client,
      keys: ['a', 'data-x', 'z'],
      ...{ writersPerKey: 2, readersPerKey: 2, pauseMs: 10 },
    });
    const newcomer = await cluster.addStore();
    await eventually('the newcomer has joined', { timeoutMs: 60_000 }, async () => {
      // Balancing gives nothing to a store that is drained; an order moves what it names all the same.
      await cluster.flotilla('store', 'drain', String(newcomer), '--timeout', '30');
      return true;
    });
    const key = concatBytes(kvPrefix, Buffer.from('data'));
    const storeIds = cluster.storeIds.map(toStoreId);
    const leaders = (): Promise<Map<number, RangeLeader>> => rangeLeaders(router, storeIds, 3000);
    const rangeId = (await router.lookup(key)).descriptor?.rangeId ?? 0;
    await sleep(5000);
    const before = await leaders();
    const range = before.get(rangeId);
    if (range === undefined || range.storeId === 0) throw new Error(`nobody leads r${rangeId}`);
    const sender = range.storeId;
    const from = range.storeIds.find((id) => id !== sender);
    if (from === undefined) throw new Error(`r${rangeId} has one replica only`);
    campaign.say(
      `r${rangeId} is led by s${sender}; its replica moves from s${from} to s${newcomer}`,
    );

    const memory = async (storeId: number): Promise<Memory> => {
      const usage = await usageOf(cluster.pids.get(storeName(storeId)) ?? 0);
      if (usage === undefined) return { own: 0, mapped: 0 };
      const { ownBytes, residentBytes } = usage;
      return { own: ownBytes / 2 ** 20, mapped: (residentBytes - ownBytes) / 2 ** 20 };
    };
    const atRest = { sender: await memory(sender), receiver: await memory(newcomer) };
    const peak = { ...atRest };
    let over = false;
    let changes = 0;
    const watcher = (async () => {
      let known = before;
      while (!over) {
        peak.sender = larger(peak.sender, await memory(sender));
        peak.receiver = larger(peak.receiver, await memory(newcomer));
        const now = await leaders();
        for (const [id, { term, storeId }] of now) {
          const earlier = known.get(id);
          if (earlier === undefined || term <= earlier.term) continue;
          changes++;
          campaign.say(
            `r${id}: s${earlier.storeId} in term ${earlier.term}, s${storeId} in ${term}`,
          );
        }
        known = new Map([...known, ...now]);
        await sleep(100);
      }
    })();
    const moveFrom = performance.now();
    try {
      await router.changeMembers(
        key,
        { add: [toStoreId(newcomer)], remove: [toStoreId(from)] },
        { timeoutMs: campaign.number('within') * 1000 },
      );
    } finally {
      over = true;
      await watcher;
    }
    const moveMs = performance.now() - moveFrom;
    await registers.stop();
    const times = registers.acknowledgedAt.filter(
      (at) => at >= moveFrom && at <= moveFrom + moveMs,
    );
    const gaps = times.slice(1).map((at, i) => at - (times[i] ?? at));
    campaign.figure('moved, s', moveMs / 1000);
    campaign.figure('MB/s', (values * valueBytes) / 1000 / moveMs);
    campaign.figure('puts meanwhile', {
      count: times.length,
      'longest gap, ms': Math.round(percentile(gaps, 100)),
    });
    const held = await directoryUsage(cluster.storeDirectory(newcomer));
    campaign.figure('on the receiver, MiB', Math.round(held.bytes / 2 ** 20));
    for (const side of ['sender', 'receiver'] as const) {
      const grown = peak[side].own - atRest[side].own;
      campaign.promise(
        `the ${side}'s own memory grows by less than ${growthMibMax} MiB`,
        grown < growthMibMax,
        `${grown.toFixed(0)} MiB, from ${atRest[side].own.toFixed(0)}`,
      );
      campaign.figure(
        `tables mapped by the ${side}, MiB`,
        [atRest[side], peak[side]].map(({ mapped }) => Math.round(mapped)),
      );
    }
    campaign.promise('no range changes its leader', changes === 0, `${changes} changes`);
    const failed = [...registers.failures].map(([code, n]) => `${n} x ${code}`).join('; ');
    campaign.holds(
      'no get or put fails',
      failed === '' ? undefined : failed,
      `${registers.acknowledgedAt.length} puts`,
    );
    promiseLinearizable(campaign, registers);
    const after = await leaders();
    campaign.promise(
      'the replica is on the new store',
      after.get(rangeId)?.storeIds.includes(newcomer) === true,
      `r${rangeId} on ${after
        .get(rangeId)
        ?.storeIds.map((id) => `s${id}`)
        .join(', ')}`,
    );
  },
);

/** Unit: MiB. */
interface Memory {
  readonly own: number;
  /** Views of files: the system's cache. */
  readonly mapped: number;
}

function larger(one: Memory, other: Memory): Memory {
  return { own: Math.max(one.own, other.own), mapped: Math.max(one.mapped, other.mapped) };
}
