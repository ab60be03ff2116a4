#!/usr/bin/env node
/** Transactions over several ranges under faults: what each isolation level promises, and money that stays the same. */
import type { Router } from '@flotilla/router';
import { openRouter, openSdk } from '../harness/connections.ts';
import { sleep } from '../harness/eventually.ts';
import { type Campaign, runCampaign } from './campaign.ts';
import { phantom, writeSkew } from './parts/anomalies.ts';
import { BankLoad } from './parts/bank-load.ts';
import { CounterLoad } from './parts/counter-load.ts';
import { Faults } from './parts/faults.ts';
import { type Isolation, ListLoad, regionIds } from './parts/list-load.ts';
import type { FailureCounts } from './parts/sdk-outcome.ts';
import { cutAt, rowKeysOf } from './parts/table-keys.ts';

const regions = 4;

await runCampaign(
  {
    name: 'e2e:transactions',
    about: `Three stores, a table in four ranges that are cut further, kills, pauses, splits and hand-overs. One after another: lists
appended to and read under SERIALIZABLE, the same under READ COMMITTED beside counters that are added to, and transfers
between 100 accounts beside reads of all of them. Then, without faults, pairs of transactions that skew and phantoms are
made of. Histories are checked: serializable; no G0, no G1, no lost addition under READ COMMITTED; a constant total in
every read; never both of a pair.`,
    knobs: {
      minutes: {
        byDefault: '10',
        text: 'half of it lists under SERIALIZABLE, a quarter each of the others',
      },
      clients: { byDefault: '20', text: 'clients of the SDK' },
      'fault-every': { byDefault: '4', text: 'seconds between two faults, on average' },
      pairs: { byDefault: '30', text: 'pairs of transactions for write skew, and for phantoms' },
    },
  },
  async (campaign) => {
    const cluster = await campaign.cluster({
      stores: 3,
      settings: { FLOTILLA_DEAD_STORE_AFTER: '120' },
    });
    const { router } = await openRouter(cluster);
    const clients = await Promise.all(
      Array.from({ length: Math.max(1, campaign.number('clients')) }, () => openSdk(cluster)),
    );
    const [client] = clients;
    if (client === undefined) throw new Error('there is a client');
    const workers = clients.length;
    const partMs = (campaign.number('minutes') * 60_000) / 4;
    const lists = (isolation: Isolation, firstId: number, some: number): Promise<ListLoad> =>
      ListLoad.start({
        ...{ clients, isolation, regions, firstId },
        ...{ workers: some, lists: 32, appendsPerList: 60, pauseMs: 20 },
      });
    const serializable = await lists('serializable', 1, workers);
    await cut(router, await rowKeysOf(client, 'lists'));
    const rowKey = await rowKeysOf(client, 'lists');
    const faults = new Faults({
      ...{ campaign, cluster, router },
      kinds: ['kill', 'pause', 'split', 'transfer', 'transfer'],
      everyMs: campaign.number('fault-every') * 1000,
      spared: [],
      rangesMax: 60,
      splitKey: () => rowKey(Math.floor(Math.random() * regions) * regionIds + anyId()),
    });
    await sleep(2 * partMs);
    await serializable.stop();
    await promiseLists(campaign, 'SERIALIZABLE', serializable);
    promiseFailures(campaign, 'lists', serializable);

    const committed = await lists('read committed', 500_000, Math.ceil(workers / 2));
    const counters = await CounterLoad.start(clients, Math.ceil(workers / 2), regions);
    await cut(router, await rowKeysOf(client, 'counters'));
    await sleep(partMs);
    await Promise.all([committed.stop(), counters.stop()]);
    await promiseLists(campaign, 'READ COMMITTED', committed);
    promiseFailures(campaign, 'lists, READ COMMITTED', committed);
    campaign.figure('additions', counters.additions);
    promiseFailures(campaign, 'counters', counters);
    campaign.promise(
      'counters are added to',
      counters.additions > 0,
      `${counters.additions} times`,
    );
    campaign.holds('no addition is lost or made twice', await counters.check());

    const bank = await BankLoad.start(clients, workers, regions);
    await cut(router, await rowKeysOf(client, 'accounts'));
    await sleep(partMs);
    await bank.stop();
    await faults.stop();
    campaign.figure('faults', Object.fromEntries(faults.counts));
    campaign.figure('transfers', bank.transfers);
    promiseFailures(campaign, 'bank', bank);
    campaign.promise(
      'the bank is busy',
      bank.transfers > 0 && bank.reads > 0,
      `${bank.reads} reads`,
    );
    campaign.holds(
      'the total is the same in every read',
      bank.wrong.at(0),
      `in ${bank.reads} reads`,
    );

    for (const [what, run] of [
      ['write skew', writeSkew],
      ['phantoms', phantom],
    ] as const) {
      const { pairs, bothCommitted } = await run(cluster, campaign.number('pairs'));
      campaign.promise(
        `${what} refused`,
        pairs > 0 && bothCommitted === 0,
        `${bothCommitted} of ${pairs} pairs`,
      );
    }
  },
);

/** Between the regions of a table. */
async function cut(router: Router, rowKey: (id: number) => Uint8Array): Promise<void> {
  await cutAt(
    router,
    Array.from({ length: regions - 1 }, (_, region) => rowKey((region + 1) * regionIds)),
  );
}

/** Of a list, with luck: ids begin low. */
function anyId(): number {
  return Math.floor(Math.random() ** 2 * 2000);
}

async function promiseLists(campaign: Campaign, isolation: string, load: ListLoad): Promise<void> {
  const count = load.count('committed');
  campaign.figure(`lists under ${isolation}`, {
    committed: count,
    aborted: load.count('aborted'),
    unknown: load.count('unknown'),
  });
  campaign.promise(`lists are used under ${isolation}`, count > 0, `${count} transactions`);
  campaign.holds(`lists are right under ${isolation}`, await load.check());
}

/** What failed is reported; what cannot be is a broken promise. */
function promiseFailures(
  campaign: Campaign,
  what: string,
  load: { readonly failures: FailureCounts; readonly impossible: FailureCounts },
): void {
  if (load.failures.total > 0) campaign.figure(`failed, ${what}`, load.failures.text());
  campaign.holds(`no answer is impossible, ${what}`, load.impossible.text());
}
