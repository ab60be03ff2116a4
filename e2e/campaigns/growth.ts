#!/usr/bin/env node
import { shapeOf } from '../harness/cluster-shape.ts';
/** A cluster grows from three stores to five, gives one back, and loses another for good, under load that must not notice. */
import { openRouter, openSdk } from '../harness/connections.ts';
import { eventually, sleep } from '../harness/eventually.ts';
import { RegisterWorkload } from '../harness/register-workload.ts';
import { runCampaign } from './campaign.ts';
import { awaitEven } from './parts/await-even.ts';
import { ListLoad, regionIds } from './parts/list-load.ts';
import { promiseLinearizable, spreadKeys } from './parts/registers.ts';
import { RowLoad } from './parts/row-load.ts';
import { cutAt, rowKeysOf } from './parts/table-keys.ts';

const deadAfterSeconds = 8;

await runCampaign(
  {
    name: 'e2e:growth',
    about: `Three stores become four, then five; one is drained and decommissioned; another dies by kill -9 and never comes
back. All the while rows are inserted, keys read and written, and transactions append to lists in several ranges,
through the SDK, while ranges split by their size. No operation may fail, every history must be linearizable or
serializable, and replicas and leases must be even again within 10 % after every change.`,
    knobs: {
      ranges: { byDefault: '40', text: 'ranges that the cluster is founded with' },
      rate: {
        byDefault: '60',
        text: 'rows inserted per second; keys and lists are used about as often',
      },
      seconds: { byDefault: '10', text: 'of load before the first change and after each' },
      within: {
        byDefault: '300',
        text: 'seconds within which the cluster must be even after a change',
      },
      'split-bytes': { byDefault: '262144', text: 'a range that holds more splits; 0 = never' },
    },
  },
  async (campaign) => {
    const cluster = await campaign.cluster({
      stores: 3,
      ranges: campaign.number('ranges'),
      settings: {
        FLOTILLA_DEAD_STORE_AFTER: String(deadAfterSeconds),
        FLOTILLA_SPLIT_BYTES: campaign.text('split-bytes'),
        FLOTILLA_STORE_REPORT_EVERY: '1',
      },
    });
    const { router } = await openRouter(cluster);
    const clients = await Promise.all([openSdk(cluster), openSdk(cluster)]);
    const [client] = clients;
    const rate = campaign.number('rate');
    const rows = await RowLoad.start({
      clients,
      ...{ workers: 8, perSecond: rate, tables: 8, bodyBytes: 1000 },
    });
    const lists = await ListLoad.start({
      clients,
      isolation: 'serializable',
      ...{ workers: 4, regions: 4, lists: 24, appendsPerList: 60 },
      pauseMs: (1000 * 4) / rate,
    });
    const rowKey = await rowKeysOf(client, 'lists');
    await cutAt(
      router,
      [1, 2, 3].map((region) => rowKey(region * regionIds)),
    );
    const registers = new RegisterWorkload({
      client,
      keys: spreadKeys,
      ...{ writersPerKey: 1, readersPerKey: 1 },
      pauseMs: Math.max(5, 16_000 / rate),
    });
    const withinMs = campaign.number('within') * 1000;
    const steady = (): Promise<void> => sleep(campaign.number('seconds') * 1000);
    const even = async (promise: string, stores: readonly number[]): Promise<void> => {
      const tookMs = await awaitEven(campaign, router, { promise, stores, withinMs });
      campaign.figure(`${promise}, s`, tookMs === undefined ? 'not in time' : tookMs / 1000);
      await steady();
    };
    await steady();
    await even('three stores are even', [1, 2, 3]);
    await cluster.addStore();
    await even('four are even', [1, 2, 3, 4]);
    await cluster.addStore();
    await even('five are even', [1, 2, 3, 4, 5]);

    const drainFrom = performance.now();
    campaign.say(
      (await cluster.flotilla('store', 'drain', '2', '--timeout', `${withinMs / 1000}`)).trim(),
    );
    const drained = await shapeOf(router, [2]);
    campaign.promise(
      'a drained store leads nothing, and holds what it held',
      drained.silent.length === 0 && drained.leases[0] === 0 && drained.replicas[0] !== 0,
      `${drained.leases[0]} leases, ${drained.replicas[0]} replicas`,
    );
    campaign.figure('drained, s', (performance.now() - drainFrom) / 1000);
    const emptyFrom = performance.now();
    campaign.say(
      (
        await cluster.flotilla('store', 'decommission', '2', '--timeout', `${withinMs / 1000}`)
      ).trim(),
    );
    const { value: left } = await eventually(
      's2 has let go of what it held',
      { timeoutMs: 60_000 },
      async () => {
        const { silent, replicas } = await shapeOf(router, [2]);
        return silent.length === 0 && replicas[0] === 0 ? replicas[0] : undefined;
      },
    );
    campaign.promise('a decommissioned store holds nothing', left === 0, `${left} replicas`);
    campaign.figure('decommissioned, s', (performance.now() - emptyFrom) / 1000);
    await cluster.end('store-2', 'SIGTERM');
    await even('four are even after one was decommissioned', [1, 3, 4, 5]);
    await cluster.end('store-3', 'SIGKILL');
    await even('three are whole and even after one died for good', [1, 4, 5]);

    await Promise.all([rows.stop(), lists.stop(), registers.stop()]);
    campaign.figure('rows acknowledged', rows.acknowledged.length);
    campaign.figure('puts acknowledged', registers.acknowledgedAt.length);
    campaign.figure('transactions committed', lists.count('committed'));
    campaign.figure('attempts run again', lists.count('aborted') - lists.failures.total);
    campaign.figure('ranges at the end', (await shapeOf(router, [1, 4, 5])).ranges);
    campaign.holds('no insert fails', rows.failures.text() ?? rows.impossible.text());
    campaign.holds('no transaction fails', lists.failures.text() ?? lists.impossible.text());
    const failures = [...registers.failures].map(([code, n]) => `${n} x ${code}`).join('; ');
    campaign.holds('no get or put fails', failures === '' ? undefined : failures);
    campaign.holds('every acknowledged row is there, once', await rows.check());
    campaign.holds('transactions are serializable, no append is lost', await lists.check());
    promiseLinearizable(campaign, registers);
  },
);
