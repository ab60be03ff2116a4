/**
 * Leaderships go from store to store under load, on request, and balancing brings them home: nothing acknowledged is lost,
 * nothing happens twice, every key stays linearizable, and no pause is longer than a hand-over takes.
 */
import { concatBytes, kvPrefix, SeededPrng, type StoreId, toStoreId } from '@flotilla/base';
import type { Flotilla } from '@flotilla/client';
import {
  checkLinearizable,
  checkRegisterZones,
  checkSet,
  registerModel,
} from '@flotilla/client/testing';
import type { Router } from '@flotilla/router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { busiestTableRange, viewCluster } from './harness/cluster-view.ts';
import { openRouter, openSdk, withPg } from './harness/connections.ts';
import { DemoCluster, flotilla } from './harness/demo-cluster.ts';
import { bound, transfers } from './harness/environment.ts';
import { eventually } from './harness/eventually.ts';
import { figure } from './harness/figures.ts';
import { longestGap, PgWriters } from './harness/pg-writer.ts';
import { type RangeLeader, rangeLeaders } from './harness/range-leaders.ts';
import { RegisterWorkload } from './harness/register-workload.ts';

/** No store dies: a hand-over is a few messages. The rest is for a busy machine. */
const gapMsMax = 1000;
/** In different ranges. */
const keys = ['\u0001', 'A', '\u00e9'];
const storedKey = (key: string): Uint8Array => concatBytes(kvPrefix, Buffer.from(key));

let cluster: DemoCluster;
let router: Router;
let closeRouter: () => Promise<void>;
let client: Flotilla;
let storeIds: readonly StoreId[];

beforeAll(async () => {
  cluster = await DemoCluster.start();
  ({ router, close: closeRouter } = await openRouter(cluster));
  client = await openSdk(cluster);
  storeIds = cluster.ofRole('store').map((_, i) => toStoreId(i + 1));
});
afterAll(async () => {
  await Promise.allSettled([client?.close(), closeRouter?.()]);
  await cluster?.stop();
});

/** Asks for one transfer and waits until the target leads. @returns how long it took; undefined: it did not take over */
async function transfer(range: RangeLeader, to: StoreId): Promise<number | undefined> {
  const from = performance.now();
  await router.transferLease(range.startKey, to, { timeoutMs: 5000 });
  while (performance.now() - from < 3000) {
    const now = (await rangeLeaders(router, storeIds)).get(range.rangeId);
    if (now !== undefined && now.term > range.term && now.storeId === to)
      return performance.now() - from;
  }
  return undefined;
}

describe('leadership transfers under load', () => {
  it('lose nothing, double nothing, and cost a moment each', {
    timeout: bound(1500, transfers),
  }, async () => {
    await withPg(cluster, (pg) =>
      pg.query('CREATE TABLE marks (id text PRIMARY KEY, n int NOT NULL)'),
    );
    const before = await viewCluster(router);
    const registers = new RegisterWorkload({
      client,
      keys,
      writersPerKey: 1,
      readersPerKey: 1,
      pauseMs: 5,
    });
    const rows = new PgWriters({
      url: cluster.gatewayUrl,
      connections: 4,
      perSecond: 100,
      statement: (n) => ({
        text: 'INSERT INTO marks (id, n) VALUES ($1, $2)',
        values: [`mark-${n}`, n],
      }),
    });
    const prng = new SeededPrng(transfers);
    const took: number[] = [];
    let asked = 0;
    let from = 0;
    let until = 0;
    let terms = 0;
    try {
      await eventually('writes are acknowledged', { timeoutMs: 15_000 }, () =>
        rows.acknowledged.length > 50 && registers.acknowledgedAt.length > 50 ? true : undefined,
      );
      const table = busiestTableRange(before, await viewCluster(router)).rangeId;
      const led = await rangeLeaders(router, storeIds);
      const used = new Set([table]);
      for (const key of keys)
        used.add((await router.lookup(storedKey(key))).descriptor?.rangeId ?? 0);
      const termsOf = (leaders: ReadonlyMap<number, RangeLeader>): number =>
        [...used].reduce((sum, rangeId) => sum + (leaders.get(rangeId)?.term ?? 0), 0);
      const termsBefore = termsOf(led);
      from = performance.now();
      while (took.length < transfers && asked < 2 * transfers + 10) {
        const leaders = await rangeLeaders(router, storeIds);
        const rangeId = [...used][asked++ % used.size] ?? 0;
        const range = leaders.get(rangeId);
        const others = range?.storeIds.filter((storeId) => storeId !== range.storeId) ?? [];
        const target = others[prng.nextBelow(others.length)];
        if (range === undefined || range.storeId === 0 || target === undefined) continue;
        const tookMs = await transfer(range, toStoreId(target)).catch(() => undefined);
        if (tookMs !== undefined) took.push(tookMs);
      }
      until = performance.now();
      terms = termsOf(await rangeLeaders(router, storeIds)) - termsBefore;
    } finally {
      await Promise.all([registers.stop(), rows.stop()]);
    }
    const gaps = keys.map((key) => gapOf(registers, key, from, until));
    const rowsGapMs = rows.longestGapMs(from, until);
    took.sort((a, b) => a - b);
    figure('transfers', {
      asked,
      completed: took.length,
      changesOfTerm: terms,
      medianMs: took[took.length >> 1],
      longestMs: took.at(-1),
      longestGapMs: Math.max(rowsGapMs, ...gaps),
      gapOfRowsMs: rowsGapMs,
      gapsOfKeysMs: gaps.map(Math.round).join('/'),
      rows: rows.acknowledged.length,
      unknown: rows.unknown.length,
      puts: registers.acknowledgedAt.length,
      failures: JSON.stringify([...rows.failures, ...registers.failures]),
    });
    expect(took.length).toBe(transfers);
    expect(terms, 'every transfer is a new term').toBeGreaterThanOrEqual(transfers);
    expect(rows.impossible).toEqual([]);
    expect(rows.acknowledged.length).toBeGreaterThan(transfers);
    const found = await withPg(cluster, (pg) => pg.query('SELECT id FROM marks'));
    expect(
      checkSet({
        acknowledged: rows.acknowledged.map(({ n }) => `mark-${n}`),
        unknown: rows.unknown.map((n) => `mark-${n}`),
        found: found.rows.map((row: { id: string }) => row.id),
      }),
    ).toEqual({ kind: 'ok' });
    for (const [key, history] of registers.histories) {
      expect(checkRegisterZones(history), `zones of ${key}`).toEqual({ kind: 'ok' });
      expect(checkLinearizable(registerModel, history), `search of ${key}`).toEqual({
        kind: 'ok',
      });
    }
    expect.soft(Math.max(rowsGapMs, ...gaps), 'longest gap').toBeLessThan(gapMsMax);
  });
});

describe('flotilla range transfer', () => {
  it('as docs/operations.md shows it, and refuses what cannot be', async () => {
    const connection = ['--nats', cluster.natsUrl, '--cluster', cluster.clusterName];
    let out = '';
    let to = 0;
    // The balancing of leases may have moved it there in between.
    for (let tries = 0; tries < 5 && !out.includes('leads it now'); tries++) {
      const range = (await rangeLeaders(router, storeIds)).get(5);
      to = range?.storeIds.find((storeId) => storeId !== range.storeId) ?? 0;
      out = await flotilla('range', 'transfer', '5', '--to', String(to), ...connection);
    }
    expect(out).toMatch(new RegExp(`^r5: s${to} leads it now, before it was s\\d`));
    await expect(flotilla('range', 'transfer', '5', '--to', '9', ...connection)).rejects.toThrow(
      /r5 is not handed over: r5 has no replica on s9/,
    );
    await expect(flotilla('range', 'transfer', '999', '--to', '1', ...connection)).rejects.toThrow(
      /no store knows this range/,
    );
  });
});

function gapOf(registers: RegisterWorkload, key: string, from: number, until: number): number {
  const acknowledged = (registers.histories.get(key) ?? []).flatMap(({ input, result }) =>
    input.kind === 'write' && result.kind === 'ok' ? [result.returnedAt] : [],
  );
  return longestGap(acknowledged, from, until);
}
