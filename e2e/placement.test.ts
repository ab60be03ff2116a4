/**
 * A fourth store joins three under load, and then one of the three dies for good: replicas and leases are even, every range
 * has three replicas again, and no client notices.
 */
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Flotilla } from '@flotilla/client';
import {
  checkLinearizable,
  checkRegisterZones,
  checkSet,
  registerModel,
} from '@flotilla/client/testing';
import type { Router } from '@flotilla/router';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isWhole, shapeOf, shapeText } from './harness/cluster-shape.ts';
import { openRouter, openSdk, withPg } from './harness/connections.ts';
import { DemoCluster, flotilla, startFlotilla } from './harness/demo-cluster.ts';
import { eventually } from './harness/eventually.ts';
import { figure } from './harness/figures.ts';
import { PgWriters } from './harness/pg-writer.ts';
import { RegisterWorkload } from './harness/register-workload.ts';

const deadAfterSeconds = 6;
const keys = ['\u0001', 'A', '\u00e9'];

let cluster: DemoCluster;
let router: Router;
let closeRouter: () => Promise<void>;
let client: Flotilla;
let fourth: ChildProcess | undefined;

beforeAll(async () => {
  cluster = await DemoCluster.start({
    environment: {
      FLOTILLA_DEAD_STORE_AFTER: String(deadAfterSeconds),
      FLOTILLA_STORE_REPORT_EVERY: '1',
    },
  });
  ({ router, close: closeRouter } = await openRouter(cluster));
  client = await openSdk(cluster);
});
afterAll(async () => {
  fourth?.kill('SIGKILL');
  await Promise.allSettled([client?.close(), closeRouter?.()]);
  await cluster?.stop();
});

/** Of the fourth store. */
function readyFile(): string {
  return join(cluster.data, 'store-4.ready.json');
}

/** Three replicas of every range on these stores, as many on each as on the others, and leases too. */
async function even(stores: readonly number[], timeoutMs: number): Promise<number> {
  let seen = '';
  const { tookMs } = await eventually(
    `replicas are even on ${stores.join(', ')}`,
    { timeoutMs, everyMs: 500 },
    async () => {
      const shape = await shapeOf(router, stores);
      const now = shapeText(shape);
      if (now !== seen) figure('placement', { now });
      seen = now;
      const spread = (counts: readonly number[]): number =>
        Math.max(...counts) - Math.min(...counts);
      const even = spread(shape.replicas) <= 1 && spread(shape.leases) <= 2;
      return isWhole(shape) && even ? true : undefined;
    },
  );
  return tookMs;
}

describe('three stores become four, and one of them dies for good', () => {
  it('is even again, with three replicas each, and nobody notices', {
    timeout: 240_000,
  }, async () => {
    await withPg(cluster, (pg) =>
      pg.query('CREATE TABLE marks (id text PRIMARY KEY, n int NOT NULL)'),
    );
    const registers = new RegisterWorkload({
      client,
      keys,
      writersPerKey: 1,
      readersPerKey: 1,
      pauseMs: 20,
    });
    const rows = new PgWriters({
      url: cluster.gatewayUrl,
      connections: 4,
      perSecond: 50,
      statement: (n) => ({
        text: 'INSERT INTO marks (id, n) VALUES ($1, $2)',
        values: [`mark-${n}`, n],
      }),
    });
    try {
      await eventually('writes are acknowledged', { timeoutMs: 15_000 }, () =>
        rows.acknowledged.length > 20 ? true : undefined,
      );
      fourth = startFlotilla(
        ...['start', '--roles', 'store', '--store-id', '4', '--machine', 'machine-4'],
        ...['--data', join(cluster.data, 'store-4'), '--nats', cluster.natsUrl],
        ...['--cluster', cluster.clusterName, '--dead-store-after', String(deadAfterSeconds)],
        ...['--store-report-every', '1'],
        ...['--http', '127.0.0.1:0', '--ready-file', readyFile()],
      );
      const balancedMs = await even([1, 2, 3, 4], 90_000);
      await cluster.kill('store-2');
      const healedMs = await even([1, 3, 4], 90_000);
      figure('placement', { balancedMs, healedMs });
    } finally {
      await Promise.all([registers.stop(), rows.stop()]);
    }
    figure('writers', {
      acknowledged: rows.acknowledged.length,
      unknown: rows.unknown.length,
      puts: registers.acknowledgedAt.length,
      failures: JSON.stringify([...rows.failures, ...registers.failures]),
    });
    expect(rows.impossible).toEqual([]);
    expect(rows.unknown).toEqual([]);
    expect([...registers.failures]).toEqual([]);
    const found = await withPg(cluster, (pg) => pg.query('SELECT id FROM marks'));
    expect(
      checkSet({
        acknowledged: rows.acknowledged.map(({ n }) => `mark-${n}`),
        unknown: [],
        found: found.rows.map((row: { id: string }) => row.id),
      }),
    ).toEqual({ kind: 'ok' });
    for (const [key, history] of registers.histories) {
      expect(checkRegisterZones(history), `zones of ${key}`).toEqual({ kind: 'ok' });
      expect(checkLinearizable(registerModel, history), `search of ${key}`).toEqual({ kind: 'ok' });
    }
  });
});

describe('the HTTP of a store', () => {
  it('says that it is well, and what it holds', async () => {
    const { ports } = JSON.parse(await readFile(readyFile(), 'utf8')) as {
      ports: { http: number };
    };
    const ask = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${ports.http}${path}`);
    // Whoever led the first range may be the one that died: stores write their rows to the next.
    await eventually('the store is well', { timeoutMs: 30_000 }, async () =>
      (await ask('/health')).status === 200 ? true : undefined,
    );
    expect((await ask('/ready')).status).toBe(200);
    const metrics = await (await ask('/metrics')).text();
    expect(Number(/^flotilla_store_replicas_count (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(5);
  });
});

describe('the commands of docs/operations.md', () => {
  it('show what happened, drain, move and refuse', { timeout: 300_000 }, async () => {
    const connection = ['--nats', cluster.natsUrl, '--cluster', cluster.clusterName];
    // A store counts as silent when it has missed several of its reports.
    const { value: stores } = await eventually('s2 is silent', { timeoutMs: 60_000 }, async () => {
      const text = await flotilla('store', 'status', ...connection);
      return /s2 +silent for/.test(text) ? text : undefined;
    });
    expect(stores).toMatch(/s4 +alive +machine-4/);
    // What a leaseholder of the first range has not written when it hands over its successor hears of with the next reports.
    const { value: events } = await eventually(
      'repair is told',
      { timeoutMs: 30_000 },
      async () => {
        const text = await flotilla('events', '--limit', '1000', ...connection);
        return text.includes('because s2 is lost') ? text : undefined;
      },
    );
    expect(events).toMatch(/r\d+: its replica moves from s2 to s\d, because s2 is lost\./);
    expect(await flotilla('store', 'drain', '4', '--timeout', '90', ...connection)).toContain(
      's4 leads nothing any more: it is safe to stop it.',
    );
    expect(await flotilla('store', 'undrain', '4', ...connection)).toContain('s4 may be given');
    expect(
      await flotilla('store', 'decommission', '2', '--timeout', '90', ...connection),
    ).toContain('s2 holds nothing any more');
    await expect(flotilla('store', 'drain', '9', ...connection)).rejects.toThrow(
      /no store of that number has ever joined/,
    );
    await expect(
      flotilla('range', 'move', '5', '--from', '1', '--to', '3', ...connection),
    ).rejects.toThrow(/r5 is not moved: it has a replica on s3 already/);
  });
});
