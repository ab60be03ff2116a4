/** Every process dies at once under load: what was acknowledged is there afterwards, and no statement is there by half. */
import { checkSet } from '@flotilla/client/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withPg } from './harness/connections.ts';
import { DemoCluster } from './harness/demo-cluster.ts';
import { bound, powerCuts } from './harness/environment.ts';
import { eventually, sleep } from './harness/eventually.ts';
import { figure } from './harness/figures.ts';
import { PgWriters } from './harness/pg-writer.ts';

const rowsPerInsert = 5;

let cluster: DemoCluster;

beforeAll(async () => {
  cluster = await DemoCluster.start();
});
afterAll(async () => {
  await cluster?.stop();
});

/** One INSERT of five rows that carry its number: all of them or none must be there. */
function statement(n: number): { readonly text: string; readonly values: readonly unknown[] } {
  const tuples = Array.from({ length: rowsPerInsert }, (_, index) => `($1, ${index})`);
  return { text: `INSERT INTO marks (n, part) VALUES ${tuples.join(', ')}`, values: [n] };
}

describe('kill -9 of all processes at once', () => {
  it('loses no acknowledged row and half-applies no statement', {
    timeout: bound(30_000, powerCuts),
  }, async () => {
    await withPg(cluster, (client) =>
      client.query('CREATE TABLE marks (n int, part int, PRIMARY KEY (n, part))'),
    );
    const writers = new PgWriters({
      url: cluster.gatewayUrl,
      connections: 8,
      perSecond: 800,
      statement,
    });
    try {
      for (let cut = 0; cut < powerCuts; cut++) {
        const acknowledgedBefore = writers.acknowledged.length;
        await eventually('writes are acknowledged', { timeoutMs: 20_000 }, () =>
          writers.acknowledged.length > acknowledgedBefore + 200 ? true : undefined,
        );
        const names = cluster.processes.map(({ name }) => name);
        await cluster.kill(...names);
        const restartedAt = performance.now();
        for (const name of names) await cluster.restart(name);
        const upMs = performance.now() - restartedAt;
        const again = writers.acknowledged.length;
        await eventually('writes are acknowledged again', { timeoutMs: 20_000, everyMs: 20 }, () =>
          writers.acknowledged.length > again ? true : undefined,
        );
        figure('power cut', {
          restartCommandsMs: upMs,
          toFirstAcknowledgedMs: performance.now() - restartedAt,
        });
      }
      await sleep(500);
    } finally {
      await writers.stop();
    }
    figure('writers', {
      begun: writers.begun,
      acknowledged: writers.acknowledged.length,
      unknown: writers.unknown.length,
      refused: writers.refusals,
      failures: JSON.stringify([...writers.failures]),
    });
    expect(writers.impossible).toEqual([]);
    // Writing at 800/s by 8 connections, a cut must have caught something under way.
    expect(writers.unknown.length).toBeGreaterThan(0);
    const { rows } = await withPg(cluster, (client) => client.query('SELECT n, part FROM marks'));
    const parts = new Map<number, number[]>();
    for (const { n, part } of rows as { n: number; part: number }[])
      parts.set(n, [...(parts.get(n) ?? []), part]);
    const halves = [...parts].filter(
      ([, found]) =>
        found.sort().join() !== Array.from({ length: rowsPerInsert }, (_, i) => i).join(),
    );
    expect(halves, 'statements that are there by half').toEqual([]);
    expect(
      checkSet({
        acknowledged: writers.acknowledged.map(({ n }) => String(n)),
        unknown: writers.unknown.map(String),
        found: [...parts.keys()].map(String),
      }),
    ).toEqual({ kind: 'ok' });
  });
});
