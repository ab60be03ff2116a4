#!/usr/bin/env node
/** The same data cut into ever more ranges: what a read and a write of one key cost, in CPU of all processes. */
import { percentile } from '../harness/process-usage.ts';
import { type Campaign, runCampaign } from './campaign.ts';
import {
  type Cost,
  CutCluster,
  type Leaders,
  type Load,
  type Operation,
  totalOf,
} from './parts/cut-cluster.ts';

/** Of an offered rate: a cluster that serves less is under another load than the others. */
const servedShare = 0.95;

interface Setting extends Load {
  readonly leaders: Leaders;
}

await runCampaign(
  {
    name: 'bench:ranges',
    about: `One cluster of three stores for each of --counts; each holds the same --keys keys, cut evenly into so many ranges. Clients
read, or write, keys at random: in a closed loop by each of --clients, and by the most of them at each of --rates, which are offered to
every cluster alike. CPU is that of stores, nats-server and clients, from /proc, less what the same cluster uses when nobody asks. The
clusters are measured in turns, --rounds times, and the median counts. First one store leads all ranges of every cluster, so that
nothing differs but their number: there a cost may differ by --flat percent from that of the first count. Writes of many clients in a
closed loop are not compared, as one range serves more of them than many do, and what more are written at once, the less each costs:
they say how many a cluster can serve. Then the leaders are spread over the stores, which costs more by itself: figures, no promise.`,
    knobs: {
      counts: { byDefault: '1,10,100,1000', text: 'numbers of ranges, the first is the measure' },
      keys: { byDefault: '20000', text: 'keys' },
      clients: { byDefault: '1,48', text: 'in a closed loop: operations under way at once' },
      rates: {
        byDefault: '500,1000,2000,4000',
        text: 'operations a second that are offered to every cluster; 0: none',
      },
      operations: { byDefault: 'read,write', text: 'what clients do' },
      leaders: { byDefault: 'one,all', text: 'which stores lead: one, all' },
      rounds: { byDefault: '5', text: 'turns' },
      seconds: { byDefault: '8', text: 'of reads, and of writes, in each turn' },
      'warm-up': { byDefault: '60', text: 'seconds of each before the first turn' },
      flat: { byDefault: '15', text: 'percent that the cost may differ' },
    },
  },
  async (campaign) => {
    const clusters: CutCluster[] = [];
    for (const ranges of campaign.numbers('counts')) {
      clusters.push(await CutCluster.start(campaign, ranges, campaign.number('keys')));
      campaign.say(`${ranges} ranges`);
    }
    for (const leaders of campaign.text('leaders').split(',')) {
      if (leaders !== 'one' && leaders !== 'all') throw new Error(`who is "${leaders}"?`);
      await compare(campaign, clusters, leaders);
    }
    for (const cluster of clusters) await cluster.stop();
  },
);

async function compare(
  campaign: Campaign,
  clusters: CutCluster[],
  leaders: Leaders,
): Promise<void> {
  const operations = campaign.text('operations').split(',').map(operationOf);
  const counts = campaign.numbers('clients');
  const rates = campaign.numbers('rates').filter((rate) => rate > 0);
  const loads = [
    ...counts.map((clients) => ({ clients, rate: Infinity })),
    ...rates.map((rate) => ({ clients: Math.max(...counts), rate })),
  ];
  const settings = loads.flatMap((load) =>
    operations.map((operation): Setting => ({ ...load, leaders, operation })),
  );
  for (const cluster of clusters) {
    await cluster.lead(leaders);
    await cluster.touch();
    const leases = (await cluster.leases()).join('/');
    campaign.say(
      `${cluster.ranges} ranges, leases ${leases}, idle ${cluster.idleShare.toFixed(1)} %`,
    );
  }
  const warmUpMs = campaign.number('warm-up') * 1000;
  // The most clients first: code is compiled by how often it runs.
  const closed = settings.filter(({ rate }) => rate === Infinity);
  for (const setting of closed.toReversed())
    for (const cluster of clusters) await cluster.cost(setting, warmUpMs);
  const costs = new Map<string, Cost[]>();
  for (let round = 1; round <= campaign.number('rounds'); round++)
    for (const setting of settings)
      for (const cluster of clusters) {
        const ms = campaign.number('seconds') * 1000;
        const cost = await cluster.cost(setting, ms);
        const name = nameOf(setting, cluster.ranges);
        costs.set(name, [...(costs.get(name) ?? []), cost]);
        campaign.say(`${round}: ${name}: ${textOf(cost)}`);
      }
  for (const setting of settings) judge(campaign, setting, clusters, costs);
}

function judge(
  campaign: Campaign,
  setting: Setting,
  clusters: readonly CutCluster[],
  costs: ReadonlyMap<string, readonly Cost[]>,
): void {
  const median = (ranges: number, of: (cost: Cost) => number): number =>
    percentile((costs.get(nameOf(setting, ranges)) ?? []).map(of), 50);
  for (const { ranges } of clusters) {
    const totals = (costs.get(nameOf(setting, ranges)) ?? []).map(totalOf);
    campaign.figure(nameOf(setting, ranges), {
      us: Math.round(median(ranges, totalOf)),
      stores: Math.round(median(ranges, ({ stores }) => stores)),
      nats: Math.round(median(ranges, ({ nats }) => nats)),
      client: Math.round(median(ranges, ({ client }) => client)),
      least: Math.round(Math.min(...totals)),
      greatest: Math.round(Math.max(...totals)),
      'per second': Math.round(median(ranges, ({ operationsPerSecond: rate }) => rate)),
    });
  }
  const [first, ...others] = clusters;
  if (setting.leaders !== 'one' || first === undefined) return;
  const { clients, rate, operation } = setting;
  if (rate < Infinity)
    for (const { ranges } of clusters) {
      const served = median(ranges, ({ operationsPerSecond }) => operationsPerSecond);
      campaign.promise(
        `${nameOf(setting, ranges)}: are served`,
        served >= servedShare * rate,
        `${served.toFixed(0)}/s`,
      );
    }
  else if (operation === 'write' && clients > 1) return;
  for (const { ranges } of others) {
    const us = median(ranges, totalOf);
    const share = (100 * us) / median(first.ranges, totalOf) - 100;
    campaign.promise(
      `${nameOf(setting, ranges)}: as over ${first.ranges}`,
      Math.abs(share) <= campaign.number('flat'),
      `${us.toFixed(0)} us, ${share > 0 ? '+' : ''}${share.toFixed(1)} %`,
    );
  }
}

function operationOf(text: string): Operation {
  if (text !== 'read' && text !== 'write') throw new Error(`"${text}" is no operation`);
  return text;
}

function nameOf({ leaders, clients, rate, operation }: Setting, ranges: number): string {
  const led = leaders === 'one' ? 'one store leads' : 'all stores lead';
  const by = clients === 1 ? '1 client' : `${clients} clients`;
  const offered = rate === Infinity ? by : `${by}, ${rate}/s offered`;
  return `${operation}, ${offered}, ${led}, ${ranges} ranges`;
}

function textOf(cost: Cost): string {
  const { stores, nats, client } = cost;
  const parts = [totalOf(cost), stores, nats, client].map((us) => us.toFixed(0));
  const rate = cost.operationsPerSecond.toFixed(0);
  return `${parts[0]} us = ${parts[1]} stores + ${parts[2]} nats + ${parts[3]} client, ${rate}/s`;
}
