/** Pairs of transactions, step by step, of which SERIALIZABLE must refuse one: write skew and phantoms across two ranges. */
import pg from 'pg';
import type { ClusterAddress } from '../../harness/connections.ts';
import { regionIds } from './list-load.ts';

export interface PairResult {
  /** How many pairs were run to their end. */
  readonly pairs: number;
  /** Of them: both committed. Must be 0. */
  readonly bothCommitted: number;
}

type Step = (client: pg.Client, side: 0 | 1) => Promise<unknown>;

/** Each of two takes a doctor off duty after it saw that two are on; one must stay. */
export async function writeSkew(cluster: ClusterAddress, times: number): Promise<PairResult> {
  return pairs(cluster, times, {
    prepare: (client, n) =>
      client.query(
        `INSERT INTO duty (id, shift, present) VALUES (${n}, ${n}, true), (${regionIds + n}, ${n}, true)`,
      ),
    read: (client, _side, n) =>
      client.query(`SELECT count(*) FROM duty WHERE id IN (${n}, ${regionIds + n}) AND present`),
    write: (client, side, n) =>
      client.query(`UPDATE duty SET present = false WHERE id = ${side * regionIds + n}`),
  });
}

/** Each of two adds a row to a shift that it saw empty; only one row may be there. */
export async function phantom(cluster: ClusterAddress, times: number): Promise<PairResult> {
  return pairs(cluster, times, {
    prepare: async () => {},
    read: (client, _side, n) => client.query(`SELECT count(*) FROM duty WHERE shift = ${-n}`),
    write: (client, side, n) =>
      client.query(
        `INSERT INTO duty (id, shift, present) VALUES (${2 * regionIds + side * regionIds + n}, ${-n}, true)`,
      ),
  });
}

interface Pair {
  readonly prepare: (client: pg.Client, n: number) => Promise<unknown>;
  readonly read: (client: pg.Client, side: 0 | 1, n: number) => Promise<unknown>;
  readonly write: (client: pg.Client, side: 0 | 1, n: number) => Promise<unknown>;
}

async function pairs(cluster: ClusterAddress, times: number, pair: Pair): Promise<PairResult> {
  const clients = [connection(cluster), connection(cluster)] as const;
  await Promise.all(clients.map((client) => client.connect()));
  let [done, bothCommitted] = [0, 0];
  try {
    await clients[0].query(
      'CREATE TABLE IF NOT EXISTS duty (id int PRIMARY KEY, shift int NOT NULL, present bool NOT NULL)',
    );
    for (let n = 1; n <= times; n++) {
      await pair.prepare(clients[0], n);
      const both = async (step: Step): Promise<boolean[]> => {
        const results = await Promise.allSettled([step(clients[0], 0), step(clients[1], 1)]);
        for (const result of results)
          if (result.status === 'rejected' && !mayBeRefused(result.reason)) throw result.reason;
        return results.map(({ status }) => status === 'fulfilled');
      };
      await both((client) => client.query('BEGIN ISOLATION LEVEL SERIALIZABLE'));
      await both((client, side) => pair.read(client, side, n));
      await both((client, side) => pair.write(client, side, n));
      // A COMMIT of a failed transaction succeeds as ROLLBACK.
      const committed = await both(async (client) => {
        const { command } = await client.query('COMMIT');
        if (command !== 'COMMIT') throw Object.assign(new Error('rolled back'), { code: '25P02' });
      });
      done++;
      if (committed.every(Boolean)) bothCommitted++;
      await Promise.all(clients.map((client) => client.query('ROLLBACK')));
    }
  } finally {
    await Promise.allSettled(clients.map((client) => client.end()));
  }
  return { pairs: done, bothCommitted };
}

function connection(cluster: ClusterAddress): pg.Client {
  const client = new pg.Client({ connectionString: cluster.gatewayUrl, query_timeout: 30_000 });
  client.on('error', () => {});
  return client;
}

function mayBeRefused(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === '40001' || code === '40P01' || code === '25P02';
}
