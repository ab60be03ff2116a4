/** The cluster seen through SQL, over real stores: consensus, logs, leases and locks, on one manual clock. */
import { SeededPrng, toStoreId } from '@flotilla/base';
import { bootstrapCluster, createRouter, type Router } from '@flotilla/router';
import { initialRanges } from '@flotilla/shard';
import { StoreCluster } from '@flotilla/shard/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFlotilla } from './create-flotilla.ts';
import type { Flotilla } from './flotilla.ts';
import { createInspector } from './inspector.ts';

let cluster: StoreCluster;
let router: Router;
let db: Flotilla;

beforeAll(async () => {
  cluster = new StoreCluster({ seed: 5 });
  for (const storeId of cluster.storeIds) await cluster.startStore(storeId);
  const { clock, network } = cluster;
  const founded = bootstrapCluster({
    transport: network.connect('init'),
    clock,
    prng: new SeededPrng(5, 7),
    expectedStores: 3,
    ranges: initialRanges,
    timeoutMs: 20_000,
  });
  await cluster.until(founded, 30_000);
  const prng = new SeededPrng(5, 8);
  router = createRouter({ transport: network.connect('client'), clock, prng });
  db = await cluster.until(createFlotilla({ router, clock, prng }), 30_000);
});

afterAll(async () => {
  await cluster.until(db.close(), 30_000);
  await cluster.stopAll();
});

async function query(text: string): Promise<unknown[][]> {
  const { rows } = await cluster.until(db.sql.unsafe(text), 60_000);
  return rows.map((row) => Object.values(row));
}

describe('the cluster through SQL', () => {
  it('shows every store and range, and cuts a table', async () => {
    expect(
      await query(
        'SELECT store_id, state, replicas > 0 AS a, abs(clock_skew_ms) < 100 AS b FROM flotilla.stores ORDER BY 1',
      ),
    ).toEqual([1, 2, 3].map((id) => [id, 'answers', true, true]));
    await query('CREATE TABLE t (id int PRIMARY KEY)');
    const [[before]] = (await query('SELECT count(*) FROM flotilla.ranges')) as [[bigint]];
    await query('ALTER TABLE t SPLIT AT VALUES (10), (20)');
    expect(
      await query(
        `SELECT start_text, cardinality(replicas), leaseholder IS NOT NULL AS led, lease
         FROM flotilla.ranges WHERE table_name = 't' ORDER BY start_key`,
      ),
    ).toEqual([
      ['public.t/t_pkey/10', 3, true, 'valid'],
      ['public.t/t_pkey/20', 3, true, 'valid'],
    ]);
    expect(await query('SELECT count(*) FROM flotilla.ranges')).toEqual([[before + 2n]]);
    // Again is harmless.
    await query('ALTER TABLE t SPLIT AT VALUES (10)');
    expect(await query('SELECT count(*) FROM flotilla.ranges')).toEqual([[before + 2n]]);
  });

  it('moves a lease to where it is told', async () => {
    const [[range, from]] = (await query(
      'SELECT range_id, leaseholder FROM flotilla.ranges ORDER BY range_id DESC LIMIT 1',
    )) as [[bigint, number]];
    const to = (from % 3) + 1;
    await query(`SELECT flotilla.move_lease(${range}, ${to})`);
    expect(
      await query(`SELECT leaseholder FROM flotilla.ranges WHERE range_id = ${range}`),
    ).toEqual([[to]]);
  });

  it('shows who holds a lock, who waits for it, and that the key is contended', async () => {
    await query('CREATE TABLE u (id int PRIMARY KEY, n int)');
    await query('INSERT INTO u VALUES (1, 0)');
    const session = db.createSession({ user: 'ann', database: 'main' });
    const run = async (text: string): Promise<void> => {
      for (const statement of session.parse(text)) {
        const result = await session.execute(await session.prepare(statement, []), []);
        for await (const _rows of result.rows ?? []);
      }
    };
    await cluster.until(run('BEGIN; UPDATE u SET n = 1 WHERE id = 1'), 30_000);
    expect(await query('SELECT key_text, mode, granted FROM flotilla.locks')).toEqual([
      ['public.u/u_pkey/1', 'exclusive', true],
    ]);
    const waiting = db.sql.unsafe('UPDATE u SET n = n + 1 WHERE id = 1');
    await cluster.until(new Promise<void>((resolve) => cluster.clock.setTimer(300, resolve)), 1000);
    expect(
      await query(`
        SELECT w.granted AS a, h.granted AS b, w.waiting_since IS NOT NULL AS c
        FROM flotilla.locks w JOIN flotilla.locks h ON h.transaction_id = ANY (w.blocked_by)`),
    ).toEqual([[false, true, true]]);
    expect(
      await query(
        'SELECT locks, started_at IS NOT NULL AS known FROM flotilla.transactions WHERE locks > 0',
      ),
    ).toEqual([[1n, true]]);
    await cluster.until(run('COMMIT'), 30_000);
    await cluster.until(waiting, 30_000);
    session.close();
    expect(
      await query(
        'SELECT key_text, waits > 0 AS a, waited_ms > 0 AS b FROM flotilla.contended_keys',
      ),
    ).toEqual([['public.u/u_pkey/1', true, true]]);
    expect(await query('SELECT n FROM u')).toEqual([[2]]);
  });

  it('asks about one range alone to move its lease', async () => {
    const asked: (number | undefined)[] = [];
    const watched: Router = Object.create(router, {
      status: {
        value: async (...[storeId, options]: Parameters<Router['status']>) => {
          asked.push(options?.rangeId);
          const status = await router.status(storeId, options);
          expect(status.replicas?.map(({ info }) => info?.descriptor?.rangeId)).toEqual([4]);
          return status;
        },
      },
    });
    const inspector = createInspector(watched, cluster.clock);
    for (const to of [1, 2]) await cluster.until(inspector.moveLease(4, to), 60_000);
    expect(asked.length).toBeGreaterThan(6);
    expect(new Set(asked)).toEqual(new Set([4]));
    const none = createInspector(router, cluster.clock).moveLease(4000, 1);
    await expect(cluster.until(none, 60_000)).rejects.toThrow(
      'no store that answers has range 4000',
    );
  });

  it('gives a range no replica on a store that never joined, or does not answer', async () => {
    await cluster.until(createInspector(router, cluster.clock).stores(), 60_000);
    const asked: unknown[] = [];
    const watched: Router = Object.create(router, {
      changeMembers: { value: async (...change: unknown[]) => void asked.push(change) },
    });
    const inspector = createInspector(watched, cluster.clock);
    const nowhere = inspector.moveReplica(4, { from: 1, to: 9 });
    await expect(cluster.until(nowhere, 60_000)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: 'no store s9 has ever joined',
    });
    expect(asked).toEqual([]);
  });

  it('does without a store that is silent', async () => {
    cluster.crash(toStoreId(3));
    const inspector = createInspector(router, cluster.clock);
    const stores = await cluster.until(inspector.stores(), 60_000);
    expect(stores.map(({ storeId, state }) => [storeId, state])).toEqual([
      [1, 'answers'],
      [2, 'answers'],
      [3, 'silent'],
    ]);
    const ranges = await cluster.until(inspector.ranges(), 60_000);
    expect(ranges[0]?.replicas.map(({ role }) => role === 'unknown')).toEqual([false, false, true]);
  });
});
