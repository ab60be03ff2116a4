#!/usr/bin/env node
/** Much data through COPY while another client writes: the table splits by its size, and the writer hardly notices. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { toStoreId } from '@flotilla/base';
import type { Router } from '@flotilla/router';
import { openRouter, openSdk, withPg } from '../harness/connections.ts';
import { eventually, sleep } from '../harness/eventually.ts';
import type { ProcessCluster } from '../harness/process-cluster.ts';
import { directoryUsage, percentile, usageOf } from '../harness/process-usage.ts';
import { runCampaign } from './campaign.ts';
import { awaitEven } from './parts/await-even.ts';
import { judgeSdkFailure } from './parts/sdk-outcome.ts';
import { rowKeysOf } from './parts/table-keys.ts';

/** A split is over so long after the number of ranges was seen to grow, and began so long before. */
const splitWindowMs = { before: 1500, after: 500 };
const rowsPerCopy = 5000;

await runCampaign(
  {
    name: 'bench:load',
    about: `Three stores. Rows are loaded through COPY (psql), ${rowsPerCopy} to a statement, while another client goes on updating rows of
the same table, one at a time. Ranges split in the middle when they hold more than --split-bytes. At the end every row must be there
and every update once; no range may hold more than it should, and the number of the table's ranges must be what its size
says; the updater's p99 around splits may be five times that of the load before the first split.`,
    knobs: {
      gigabytes: { byDefault: '2', text: 'to load, in rows' },
      'row-bytes': { byDefault: '1000', text: 'size of a row' },
      'split-bytes': { byDefault: String(64 * 2 ** 20), text: 'a range that holds more splits' },
      'pause-ms': { byDefault: '5', text: 'of the updater between two updates' },
      connections: { byDefault: '1', text: 'COPY statements under way at once' },
    },
  },
  async (campaign) => {
    const splitBytes = campaign.number('split-bytes');
    const cluster = await campaign.cluster({
      stores: 3,
      settings: { FLOTILLA_SPLIT_BYTES: campaign.text('split-bytes') },
    });
    const { router } = await openRouter(cluster);
    const client = await openSdk(cluster);
    await withPg(cluster, (pg) =>
      pg.query('CREATE TABLE loaded (id int PRIMARY KEY, n int NOT NULL, body text NOT NULL)'),
    );
    const rowKey = await rowKeysOf(client, 'loaded');
    const span = { startKey: rowKey(0), endKey: rowKey(2 ** 31 - 1) };
    const rowBytes = campaign.number('row-bytes');
    const rows = Math.ceil((campaign.number('gigabytes') * 1e9) / rowBytes);

    let loadedRows = 0;
    let over = false;
    const updates: { at: number; tookMs: number }[] = [];
    let unknown = 0;
    const failures = new Map<string, number>();
    const updater = (async () => {
      while (!over) {
        await sleep(campaign.number('pause-ms'));
        if (loadedRows === 0) continue;
        const from = performance.now();
        try {
          await client.sql`
            UPDATE loaded SET n = n + 1 WHERE id = ${Math.floor(Math.random() * loadedRows)}`;
          updates.push({ at: performance.now(), tookMs: performance.now() - from });
        } catch (error) {
          const { outcome, message } = judgeSdkFailure(error);
          failures.set(message, (failures.get(message) ?? 0) + 1);
          if (outcome === 'unknown') unknown++;
        }
      }
    })();

    const splits: number[] = [];
    const peak = new Map<string, number>();
    const watcher = (async () => {
      let known = 0;
      while (!over) {
        const found = await rangesIn(router, cluster, span).catch(() => undefined);
        if (found !== undefined && known !== 0 && found.length > known)
          splits.push(performance.now());
        if (found !== undefined) known = Math.max(known, found.length);
        for (const [name, pid] of cluster.pids) {
          const resident = (await usageOf(pid))?.residentBytes ?? 0;
          peak.set(name, Math.max(peak.get(name) ?? 0, resident));
        }
        await sleep(250);
      }
    })();

    await awaitEven(campaign, router, {
      promise: 'replicas and leases are even before the load',
      stores: cluster.storeIds,
      withinMs: 120_000,
    });
    campaign.say('the load begins');
    const copyFailures = new Map<string, number>();
    /** A COPY is made whole or not at all: one of unknown outcome is looked for before it is made again. */
    const copyOnce = async (first: number, end: number): Promise<void> => {
      for (let failures = 0; ; ) {
        const said = await copy(cluster, first, end, rowBytes);
        if (said === undefined) return;
        copyFailures.set(said, (copyFailures.get(said) ?? 0) + 1);
        const { rows: there } = await client.sql<{ n: number }>`
          SELECT count(*)::int AS n FROM loaded WHERE id >= ${first} AND id < ${end}`;
        if (there[0]?.n === end - first) return;
        if (there[0]?.n !== 0)
          throw new Error(`a COPY was made in part: ${there[0]?.n} rows; ${said}`);
        if (++failures === 3) throw new Error(`COPY of rows ${first} to ${end}: ${said}`);
      }
    };
    const loadFrom = performance.now();
    let next = 0;
    let sayAt = loadFrom;
    const finished = new Set<number>();
    const loader = async (): Promise<void> => {
      while (next < rows) {
        const first = next;
        next = Math.min(rows, next + rowsPerCopy);
        await copyOnce(first, next);
        finished.add(first);
        while (finished.has(loadedRows)) loadedRows = Math.min(rows, loadedRows + rowsPerCopy);
        if (performance.now() < sayAt) continue;
        campaign.say(`${loadedRows} of ${rows} rows, ${splits.length} times more ranges seen`);
        sayAt = performance.now() + 5000;
      }
    };
    try {
      await Promise.all(Array.from({ length: campaign.number('connections') }, loader));
      const loadMs = performance.now() - loadFrom;
      campaign.figure('loaded, s', loadMs / 1000);
      campaign.figure('MB/s', (rows * rowBytes) / 1000 / loadMs);
      await eventually('no range is too large', { timeoutMs: 60_000, everyMs: 500 }, async () =>
        (await rangesIn(router, cluster, span)).every(({ bytes }) => bytes <= splitBytes)
          ? true
          : undefined,
      ).then(
        ({ tookMs }) =>
          campaign.promise(
            'no range is too large',
            true,
            `${(tookMs / 1000).toFixed(1)} s after the load`,
          ),
        () => campaign.promise('no range is too large', false, 'not within 60 s'),
      );
    } finally {
      over = true;
      await Promise.all([updater, watcher]);
    }

    const found = await rangesIn(router, cluster, span);
    const bytes = found.reduce((sum, range) => sum + range.bytes, 0);
    const [least, most] = [
      Math.ceil(bytes / splitBytes),
      Math.ceil((2.2 * bytes) / splitBytes) + 1,
    ];
    campaign.figure('MiB in the table', bytes / 2 ** 20);
    campaign.promise(
      'the number of ranges is what the size says',
      least <= found.length && found.length <= most,
      `${found.length}, expected ${least} to ${most}`,
    );
    const firstSplit = splits[0] ?? Number.POSITIVE_INFINITY;
    const isDuring = (at: number): boolean =>
      splits.some((split) => at > split - splitWindowMs.before && at < split + splitWindowMs.after);
    const timesOf = (keep: (at: number) => boolean): number[] =>
      updates.filter(({ at }) => keep(at)).map(({ tookMs }) => tookMs);
    const before = timesOf((at) => at < firstSplit - splitWindowMs.before);
    const during = timesOf(isDuring);
    const rest = timesOf((at) => at > firstSplit && !isDuring(at));
    const p99 = (times: readonly number[]): number => Math.round(percentile(times, 99) * 10) / 10;
    campaign.figure('updates, p99 in ms', {
      before: [before.length, p99(before)],
      during: [during.length, p99(during)],
      between: [rest.length, p99(rest)],
    });
    if (splits.length > 0)
      campaign.promise(
        'p99 of updates around splits is at most five times that before the first',
        before.length >= 20 && during.length > 0 && p99(during) <= 5 * p99(before),
        `${p99(during)} against ${p99(before)} ms`,
      );
    campaign.figure('failed COPY statements', Object.fromEntries(copyFailures));
    campaign.figure('failed updates', Object.fromEntries(failures));
    const disks = await Promise.all(
      cluster.storeIds.map((id) => directoryUsage(cluster.storeDirectory(id))),
    );
    campaign.figure(
      'disk per store, MiB',
      disks.map((disk) => Math.round(disk.bytes / 2 ** 20)),
    );
    campaign.figure(
      'largest RSS, MiB',
      Object.fromEntries([...peak].map(([name, size]) => [name, Math.round(size / 2 ** 20)])),
    );
    const countFrom = performance.now();
    const { rows: sums } = await client.sql<{ rows: number; n: number }>`
      SELECT count(*)::int AS rows, sum(n)::int AS n FROM loaded`;
    campaign.figure('counting all rows, s', (performance.now() - countFrom) / 1000);
    campaign.promise('every row is there', sums[0]?.rows === rows, `${sums[0]?.rows} of ${rows}`);
    const total = sums[0]?.n ?? -1;
    campaign.promise(
      'every update is there once',
      updates.length <= total && total <= updates.length + unknown,
      `${total}, ${updates.length} acknowledged and ${unknown} unknown`,
    );
  },
);

/** Ranges of which some lies in the span, as their leaseholders see them. */
async function rangesIn(
  router: Router,
  cluster: ProcessCluster,
  span: { readonly startKey: Uint8Array; readonly endKey: Uint8Array },
): Promise<{ readonly rangeId: number; readonly bytes: number }[]> {
  const answers = await Promise.all(
    cluster.storeIds.map((id) => router.status(toStoreId(id), { timeoutMs: 5000 })),
  );
  return answers
    .flatMap(({ replicas }) => replicas ?? [])
    .filter(({ role }) => role === 'leader')
    .flatMap(({ info, liveBytes }) => {
      const { rangeId, startKey, endKey } = info?.descriptor ?? {};
      if (!startKey || !endKey) return [];
      const inside =
        Buffer.compare(startKey, span.endKey) < 0 && Buffer.compare(span.startKey, endKey) < 0;
      return inside ? [{ rangeId: rangeId ?? 0, bytes: Number(liveBytes ?? 0) }] : [];
    });
}

/** One COPY of rows [first, end). @returns what psql said, if it failed */
async function copy(
  cluster: ProcessCluster,
  first: number,
  end: number,
  rowBytes: number,
): Promise<string | undefined> {
  const psql = spawn(
    'psql',
    ['-X', '-q', '-v', 'ON_ERROR_STOP=1', cluster.gatewayUrl, '-c', 'COPY loaded FROM STDIN'],
    { stdio: ['pipe', 'ignore', 'pipe'] },
  );
  let said = '';
  psql.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  psql.stdin.on('error', () => {}); // it ended early: its exit says why
  const exit = once(psql, 'exit');
  for (let id = first; id < end; id += 500) {
    let text = '';
    for (let each = id; each < Math.min(end, id + 500); each++)
      text += `${each}\t0\t${`${each} `.padEnd(rowBytes, 'abcdefgh')}\n`;
    if (!psql.stdin.write(text)) await Promise.race([once(psql.stdin, 'drain'), exit]);
  }
  psql.stdin.end();
  const [code] = await exit;
  return code === 0 ? undefined : said.trim() || `psql ended with ${code}`;
}
