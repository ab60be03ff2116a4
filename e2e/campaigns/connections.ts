#!/usr/bin/env node
/** What clients cost the gateway in memory: many that are silent, some that work, and some that stop taking what they asked for. */
import { connect, type Socket } from 'node:net';
import { loadavg } from 'node:os';
import pg from 'pg';
import { eventually, sleep } from '../harness/eventually.ts';
import { percentile, usageOf } from '../harness/process-usage.ts';
import { type Campaign, runCampaign } from './campaign.ts';

const mebibyte = 2 ** 20;
/** Of the result that nobody takes: some 1 GB of rows, which the gateway makes itself. */
const wideQuery = "select repeat('x', 1000) from generate_series(1, 1000000)";

await runCampaign(
  {
    name: 'bench:connections',
    about: `Three stores and a gateway. --idle clients connect and are silent; --active ones read, write and commit in a closed loop for
--seconds: the gateway's resident memory stays below --resident MB. Then --stalled clients ask for a result of 1 GB and take none of
it for --stall seconds: each may cost the gateway --held MB at most, and others are answered meanwhile.`,
    knobs: {
      idle: { byDefault: '1000', text: 'silent clients' },
      active: { byDefault: '100', text: 'clients that work' },
      seconds: { byDefault: '30', text: 'of work' },
      resident: { byDefault: '500', text: 'MB that the gateway may have' },
      stalled: { byDefault: '10', text: 'clients that stop reading' },
      stall: { byDefault: '20', text: 'seconds that they do' },
      held: { byDefault: '10', text: 'MB that each of them may cost' },
    },
  },
  async (campaign) => {
    const cluster = await campaign.cluster({ stores: 3 });
    const pid = cluster.pids.get('gateway') ?? 0;
    campaign.figure('load average at the beginning', loadavg()[0]?.toFixed(2));
    const gateway = new URL(cluster.gatewayUrl);
    await connectionsOf(campaign, gateway, pid);
    await stalledReaders(campaign, gateway, pid);
    campaign.figure('load average at the end', loadavg()[0]?.toFixed(2));
  },
);

async function connectionsOf(campaign: Campaign, gateway: URL, pid: number): Promise<void> {
  const before = await megabytesOf(pid);
  const idle = await open(gateway, campaign.number('idle'));
  const silent = await megabytesOf(pid);
  const active = await open(gateway, campaign.number('active'));
  const [first] = active;
  if (first === undefined) throw new Error('no client works');
  await eventually('there is a table', { timeoutMs: 120_000 }, async () => {
    await first.query('create table if not exists work (id int primary key, n int not null)');
    await first.query(
      'insert into work select g, 0 from generate_series(1, 1000) g on conflict do nothing',
    );
    return true;
  });
  const until = performance.now() + campaign.number('seconds') * 1000;
  let peak = 0;
  let [done, failed, unknown] = [0, 0, 0];
  const watch = setInterval(() => {
    void megabytesOf(pid).then((now) => {
      peak = Math.max(peak, now);
    });
  }, 500);
  await Promise.all(
    active.map(async (client, lane) => {
      for (let round = lane; performance.now() < until; round += 7)
        try {
          await client.query('begin');
          await client.query('select n from work where id = $1', [(round % 1000) + 1]);
          await client.query('update work set n = n + 1 where id = $1', [(lane % 1000) + 1]);
          await client.query('commit');
          done++;
        } catch (error) {
          if (error instanceof pg.DatabaseError && error.code === '40003') unknown++;
          else failed++;
          await client.query('rollback');
        }
    }),
  );
  clearInterval(watch);
  const { rows } = await first.query<{ sum: string }>('select sum(n) from work');
  const sum = Number(rows[0]?.sum);
  campaign.figure('MB of the gateway', {
    alone: Math.round(before),
    [`with ${idle.length} silent clients`]: Math.round(silent),
    [`at most with ${active.length} more that worked`]: Math.round(peak),
  });
  campaign.figure('transactions', { done, failed, unknown });
  campaign.promise(
    `the gateway stays below ${campaign.number('resident')} MB`,
    peak > 0 && peak < campaign.number('resident'),
    `${Math.round(peak)} MB`,
  );
  campaign.promise(
    'every transaction took effect once',
    sum >= done && sum <= done + unknown,
    `${done} said, ${unknown} unknown, ${sum} found`,
  );
  const answers = await Promise.all(idle.map((client) => client.query('select 1 as one')));
  campaign.promise(
    'every silent client is answered afterwards',
    answers.every(({ rows: [row] }) => row.one === 1),
    `${answers.length}`,
  );
  await Promise.all([...idle, ...active].map((client) => client.end()));
}

/** Some at a time: the gateway drops who has not come in after ten seconds, which on a busy machine are few. */
async function open(gateway: URL, count: number): Promise<pg.Client[]> {
  const clients: pg.Client[] = [];
  while (clients.length < count)
    clients.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(20, count - clients.length) }, () => comeIn(gateway)),
      )),
    );
  return clients;
}

async function comeIn(gateway: URL): Promise<pg.Client> {
  const { value } = await eventually('a client comes in', { timeoutMs: 60_000 }, async () => {
    const client = new pg.Client({ connectionString: gateway.href });
    client.on('error', () => undefined); // what it asks next fails too
    await client.connect();
    return client;
  });
  return value;
}

async function stalledReaders(campaign: Campaign, gateway: URL, pid: number): Promise<void> {
  const other = new pg.Client({ connectionString: gateway.href });
  await other.connect();
  // What the code itself takes is not what a reader costs: one reads some of it before.
  await other.query("select repeat('x', 1000) from generate_series(1, 100000)");
  const before = await settledMegabytes(pid);
  const readers = Array.from({ length: campaign.number('stalled') }, () => stall(gateway));
  await eventually('the queries run', { timeoutMs: 30_000 }, async () => {
    const { rows } = await other.query(
      'select count(*)::int n from pg_stat_activity where query = $1',
      [wideQuery],
    );
    return rows[0]?.n === readers.length ? true : undefined;
  });
  const until = performance.now() + campaign.number('stall') * 1000;
  const waits: number[] = [];
  const held: number[] = [];
  while (performance.now() < until) {
    const asked = performance.now();
    await other.query('select 1');
    waits.push(performance.now() - asked);
    held.push((await megabytesOf(pid)) - before);
    await sleep(200);
  }
  for (const reader of readers) reader.destroy();
  await other.end();
  const each = percentile(held, 100) / readers.length;
  campaign.figure('stalled readers', {
    readers: readers.length,
    'MB more, median': Math.round(percentile(held, 50)),
    'MB more, at most': Math.round(percentile(held, 100)),
    'another client waits, p99 ms': Math.round(percentile(waits, 99)),
  });
  campaign.promise(
    `a client that stops reading 1 GB costs less than ${campaign.number('held')} MB`,
    each < campaign.number('held'),
    `${each.toFixed(1)} MB`,
  );
}

/** A client that asks and then takes nothing. What the kernel buffers is all that ever leaves. */
function stall(gateway: URL): Socket {
  const socket = connect(Number(gateway.port), gateway.hostname);
  socket.pause();
  socket.on('error', () => undefined); // it is cut off in the end
  const text = Buffer.from(`${wideQuery}\0`);
  const start = Buffer.from(`\0\0\0\0\0\x03\0\0user\0postgres\0database\0flotilla\0\0`);
  start.writeInt32BE(start.length, 0);
  const query = Buffer.concat([Buffer.from('Q\0\0\0\0'), text]);
  query.writeInt32BE(query.length - 1, 1);
  socket.write(Buffer.concat([start, query]));
  return socket;
}

async function megabytesOf(pid: number): Promise<number> {
  const usage = await usageOf(pid);
  if (usage === undefined) throw new Error('the gateway is gone');
  return usage.residentBytes / mebibyte;
}

/** The median of two seconds. */
async function settledMegabytes(pid: number): Promise<number> {
  const seen: number[] = [];
  for (let i = 0; i < 10; i++) {
    seen.push(await megabytesOf(pid));
    await sleep(200);
  }
  return percentile(seen, 50);
}
