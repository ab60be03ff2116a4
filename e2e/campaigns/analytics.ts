#!/usr/bin/env node
/** Questions about a whole table: what stores make of its rows travels, not the rows, and others are answered meanwhile. */
import pg from 'pg';
import { openRouter, openSdk } from '../harness/connections.ts';
import { eventually, sleep } from '../harness/eventually.ts';
import { percentile, usageOf } from '../harness/process-usage.ts';
import { type Campaign, runCampaign } from './campaign.ts';
import { cutAt, rowKeysOf } from './parts/table-keys.ts';

const mebibyte = 2 ** 20;
const groups = 50;
const topRows = 20;
const joinedRows = 10_000;

interface Question {
  readonly name: string;
  readonly sql: string;
  /** Rows that may travel at most, and bytes. */
  readonly rowsMax: number;
  readonly bytesMax: number;
  /** What the answer must be. */
  readonly check: (rows: readonly Record<string, unknown>[]) => string | undefined;
  /** Stores must have read the whole table. */
  readonly readsAll: boolean;
}

await runCampaign(
  {
    name: 'e2e:analytics',
    about: `Three stores and a gateway. A table of --rows rows over --ranges ranges; then, --times times each: count(*), a grouped sum, the
first rows by an index, a filter that few rows pass, a tenth of the rows by an index that does not hold what is asked for, filtered and grouped,
and a hash join with a table of 10,000 rows. Answers are right; EXPLAIN ANALYZE says
that what travelled is proportional to the result, from all ranges and stores; the gateway grows by less than --grown MB; meanwhile
other clients read single rows, with a p99 below --p99 ms.`,
    knobs: {
      rows: { byDefault: '1000000', text: 'rows of the table' },
      ranges: { byDefault: '8', text: 'ranges of the table' },
      times: { byDefault: '5', text: 'times that each question is asked' },
      readers: { byDefault: '4', text: 'clients that read single rows' },
      grown: { byDefault: '200', text: 'MB that the gateway may grow by' },
      p99: { byDefault: '50', text: 'ms that a read of a row may take, 99 times of 100' },
    },
  },
  async (campaign) => {
    const cluster = await campaign.cluster({
      stores: 3,
      settings: { FLOTILLA_SPLIT_BYTES: '0', FLOTILLA_SPLIT_REQUESTS_PER_SECOND: '0' },
    });
    const rows = campaign.number('rows');
    const ranges = campaign.number('ranges');
    const client = await comeIn(cluster.gatewayUrl);
    await write(
      client,
      `create table if not exists facts (id bigint primary key, g int not null, v int not null, w int not null, x int not null, body text not null);
       create table if not exists names (k bigint primary key, name text not null)`,
    );
    await cut(cluster, rows, ranges);
    await load(campaign, client, rows);
    // Leases that went elsewhere while it was loaded come back.
    await eventually(
      'all stores lead some of it',
      { timeoutMs: 180_000, everyMs: 1000 },
      async () =>
        (await toldOf(client, 'select count(*) from facts'))['Evaluated Stores'] === 3
          ? true
          : undefined,
    );
    const pid = cluster.pids.get('gateway') ?? 0;
    const readers = await Promise.all(
      Array.from({ length: campaign.number('readers') }, () => comeIn(cluster.gatewayUrl)),
    );
    await warm(readers, rows);
    const questions = questionsOf(rows);
    // What compiling and caches take is not what the rows take.
    for (const { sql } of questions) await client.query(sql);
    const before = await residentOf(pid);
    const alone = await readWhile(readers, rows, () => sleep(2000));
    campaign.figure('reads of a row alone', alone.text);
    let peak = before;
    const watch = setInterval(() => {
      void residentOf(pid).then((now) => {
        peak = Math.max(peak, now);
      });
    }, 100);
    const meanwhile = await readWhile(readers, rows, async () => {
      for (const question of questions) await ask(campaign, client, question, { rows, ranges });
    });
    clearInterval(watch);
    campaign.figure('reads of a row meanwhile', meanwhile.text);
    campaign.promise(
      `a row is read within ${campaign.number('p99')} ms meanwhile`,
      meanwhile.p99 < campaign.number('p99') && meanwhile.reads > 0,
      `p99 ${meanwhile.p99.toFixed(1)} ms of ${meanwhile.reads} reads`,
    );
    const grown = (peak - before) / mebibyte;
    campaign.promise(
      `the gateway grows by less than ${campaign.number('grown')} MB`,
      grown < campaign.number('grown'),
      `${grown.toFixed(0)} MB, from ${(before / mebibyte).toFixed(0)} MB`,
    );
    await Promise.all([client, ...readers].map((each) => each.end()));
  },
);

function questionsOf(rows: number): readonly Question[] {
  const value = (id: number): number => id % 1000;
  return [
    {
      name: 'count(*)',
      sql: 'select count(*) as n from facts',
      rowsMax: 200,
      bytesMax: 20_000,
      readsAll: true,
      check: ([row]) => (Number(row?.n) === rows ? undefined : `${row?.n} rows`),
    },
    {
      name: 'grouped sum',
      sql: 'select g, sum(v) as s from facts group by g',
      rowsMax: 200 * groups,
      bytesMax: 400 * 1024,
      readsAll: true,
      check: (found) => {
        const sums = new Map<number, number>();
        for (let id = 0; id < rows; id++)
          sums.set(id % groups, (sums.get(id % groups) ?? 0) + value(id));
        const wrong = found.find(({ g, s }) => sums.get(Number(g)) !== Number(s));
        return found.length === groups && wrong === undefined ? undefined : JSON.stringify(wrong);
      },
    },
    {
      name: 'few rows of many',
      sql: 'select id, v from facts where v = 7 and w % 10 = 3 and g < 40',
      rowsMax: rows / 500,
      bytesMax: rows,
      readsAll: true,
      check: (found) => {
        let right = 0;
        for (let id = 0; id < rows; id++)
          if (value(id) === 7 && ((id * 7919) % rows) % 10 === 3 && id % groups < 40) right++;
        return found.length === right ? undefined : `${found.length} rows instead of ${right}`;
      },
    },
    {
      name: 'first by an index',
      sql: `select id, v, w from facts order by w limit ${topRows}`,
      rowsMax: 4 * topRows,
      bytesMax: 40 * 1024,
      readsAll: false,
      check: (found) =>
        found.length === topRows && found.every(({ w }, i) => Number(w) === i)
          ? undefined
          : JSON.stringify(found),
    },
    {
      name: 'few rows by an index',
      sql: `select id, v, g from facts where w < ${rows / 10} and x % 100 = 3 and v < 500`,
      // Keys of the rows that their entries let pass, and the half of these rows that passes.
      rowsMax: 1.6 * (rows / 1000),
      bytesMax: 60 * 1.6 * (rows / 1000) + 64 * 1024,
      readsAll: false,
      check: (found) => {
        let right = 0;
        for (let id = 0; id < rows; id++)
          if ((id * 7919) % rows < rows / 10 && ((id * 31) % rows) % 100 === 3 && value(id) < 500)
            right++;
        return found.length === right ? undefined : `${found.length} rows instead of ${right}`;
      },
    },
    {
      name: 'groups by an index',
      sql: `select g, sum(v) as s from facts where w < ${rows / 20} group by g`,
      // A key for each row, and groups of each answer.
      rowsMax: rows / 20 + (groups * rows) / 20 / 128 + 400 * groups,
      bytesMax: 24 * (rows / 20 + (groups * rows) / 20 / 128 + 400 * groups) + 64 * 1024,
      readsAll: false,
      check: (found) => {
        const sums = new Map<number, number>();
        for (let id = 0; id < rows; id++)
          if ((id * 7919) % rows < rows / 20)
            sums.set(id % groups, (sums.get(id % groups) ?? 0) + value(id));
        const wrong = found.find(({ g, s }) => sums.get(Number(g)) !== Number(s));
        return found.length === sums.size && wrong === undefined
          ? undefined
          : JSON.stringify(wrong);
      },
    },
    {
      name: 'hash join',
      sql: 'select count(*) as n, sum(names.k) as s from facts join names on facts.x = names.k * 7',
      // The smaller table, its matches, and one in fifty that the filter of keys lets through.
      rowsMax: 2.5 * joinedRows + rows / 50,
      bytesMax: 40 * (2.5 * joinedRows + rows / 50) + 1024 * 1024,
      readsAll: true,
      check: ([row]) => {
        let right = 0;
        for (let k = 0; k < joinedRows; k++) if (k * 7 < rows) right++;
        return Number(row?.n) === right ? undefined : `${row?.n} instead of ${right}`;
      },
    },
  ];
}

async function residentOf(pid: number): Promise<number> {
  const usage = await usageOf(pid);
  if (usage === undefined) throw new Error('the gateway is gone');
  return usage.residentBytes;
}

async function comeIn(url: string): Promise<pg.Client> {
  const { value } = await eventually('a client comes in', { timeoutMs: 60_000 }, async () => {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined); // what it asks next fails too
    await client.connect();
    return client;
  });
  return value;
}

/** The table into ranges of as many rows each. */
async function cut(
  cluster: Parameters<typeof openRouter>[0],
  rows: number,
  ranges: number,
): Promise<void> {
  const { router, close } = await openRouter(cluster);
  const sdk = await openSdk(cluster);
  const keyOf = await rowKeysOf(sdk, 'facts');
  await cutAt(
    router,
    Array.from({ length: ranges - 1 }, (_, i) => keyOf(Math.floor(((i + 1) * rows) / ranges))),
  );
  await sdk.close();
  await close();
}

async function load(campaign: Campaign, client: pg.Client, rows: number): Promise<void> {
  const batch = 2_000;
  for (let from = 0; from < rows; from += batch) {
    const until = Math.min(rows, from + batch) - 1;
    await write(
      client,
      `insert into facts select i, i % ${groups}, i % 1000, i * 7919 % ${rows}, i * 31 % ${rows}, 'row ' || i || repeat('.', 80)
        from generate_series(${from}::bigint, ${until}) i
        on conflict do nothing`,
    );
    if ((from / batch) % 50 === 0) campaign.say(`${from} rows are there`);
  }
  for (const sql of [
    `insert into names select i, 'name ' || i from generate_series(0, ${joinedRows - 1}) i on conflict do nothing`,
    'create index if not exists facts_w on facts (w, x)',
    'analyze facts',
    'analyze names',
  ])
    await write(client, sql);
  campaign.say(`${rows} rows are there`);
}

/** Again where others were in the way, or nobody knows what became of it: all of it may be done twice. */
async function write(client: pg.Client, sql: string): Promise<void> {
  await eventually('it is written', { timeoutMs: 120_000 }, async () => {
    await client.query(sql);
    return true;
  });
}

/** Every plan and every range has been met. */
async function warm(readers: readonly pg.Client[], rows: number): Promise<void> {
  for (const reader of readers)
    for (let i = 0; i < 50; i++) await readRow(reader, Math.floor((i * rows) / 50));
}

async function readRow(reader: pg.Client, id: number): Promise<void> {
  const { rows } = await reader.query({
    name: 'row',
    text: 'select v from facts where id = $1',
    values: [id],
  });
  if (rows[0]?.v !== id % 1000) throw new Error(`row ${id} has ${JSON.stringify(rows)}`);
}

async function readWhile(
  readers: readonly pg.Client[],
  rows: number,
  work: () => Promise<void>,
): Promise<{ readonly p99: number; readonly reads: number; readonly text: object }> {
  const times: number[] = [];
  let ends = false;
  const reading = readers.map(async (reader) => {
    while (!ends) {
      const asked = performance.now();
      await readRow(reader, Math.floor(Math.random() * rows));
      times.push(performance.now() - asked);
      await sleep(5);
    }
  });
  try {
    await work();
  } finally {
    ends = true;
    await Promise.all(reading);
  }
  const p99 = percentile(times, 99);
  const text = {
    reads: times.length,
    'p50 ms': Number(percentile(times, 50).toFixed(1)),
    'p99 ms': Number(p99.toFixed(1)),
    'most ms': Number(percentile(times, 100).toFixed(1)),
  };
  return { p99, reads: times.length, text };
}

/** What EXPLAIN ANALYZE says of the statement as a whole. */
async function toldOf(client: pg.Client, sql: string): Promise<Readonly<Record<string, number>>> {
  const { rows } = await client.query(`explain (analyze, format json) ${sql}`);
  const [told = {}] = (rows[0]?.['QUERY PLAN'] ?? []) as Record<string, number>[];
  return told;
}

async function ask(
  campaign: Campaign,
  client: pg.Client,
  question: Question,
  table: { readonly rows: number; readonly ranges: number },
): Promise<void> {
  const { name, sql, check, rowsMax, bytesMax, readsAll } = question;
  const times: number[] = [];
  let wrong: string | undefined;
  for (let i = 0; i < campaign.number('times'); i++) {
    const asked = performance.now();
    const { rows } = await client.query<Record<string, unknown>>(sql);
    times.push(performance.now() - asked);
    wrong ??= check(rows);
  }
  campaign.holds(`${name}: the answer is right`, wrong);
  const told = await toldOf(client, sql);
  const figures = {
    'p50 ms': Math.round(percentile(times, 50)),
    'rows travelled': told['Storage Rows'] ?? Number.NaN,
    'bytes travelled': told['Storage Bytes'] ?? Number.NaN,
    'round trips': told['Storage Requests'] ?? Number.NaN,
    'rows read at stores': told['Evaluated Rows'] ?? 0,
    ranges: told['Evaluated Ranges'] ?? 0,
    stores: told['Evaluated Stores'] ?? 0,
  };
  campaign.figure(name, figures);
  campaign.promise(
    `${name}: what travels goes with the result`,
    figures['rows travelled'] <= rowsMax && figures['bytes travelled'] <= bytesMax,
    `${figures['rows travelled']} rows, ${figures['bytes travelled']} bytes`,
  );
  if (readsAll)
    campaign.promise(
      `${name}: all ranges and stores take part`,
      figures['rows read at stores'] >= table.rows &&
        figures.ranges >= table.ranges &&
        figures.stores === 3,
      `${figures['rows read at stores']} rows, ${figures.ranges} ranges, ${figures.stores} stores`,
    );
}
