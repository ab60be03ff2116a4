/** Connections of the tests themselves: SQL through the gateway, and the SDK's parts straight to the stores. */
import { osPrng, SystemClock } from '@flotilla/base';
import { connect, type Flotilla } from '@flotilla/client';
import { connectNats, createRouter, type Router } from '@flotilla/router';
import pg from 'pg';
import { eventually } from './eventually.ts';

/** What one has to know of a cluster to talk to it. */
export interface ClusterAddress {
  readonly natsUrl: string;
  readonly clusterName: string;
  readonly gatewayUrl: string;
}

/** A router of its own: what a test asks of the cluster must not warm the cache of what it watches. */
export async function openRouter(
  cluster: ClusterAddress,
): Promise<{ readonly router: Router; close(): Promise<void> }> {
  const transport = await connectNats({
    servers: [cluster.natsUrl],
    cluster: cluster.clusterName,
    name: 'e2e',
  });
  const router = createRouter({ transport, clock: new SystemClock(), prng: osPrng() });
  return {
    router,
    async close() {
      await router.close();
      await transport.close();
    },
  };
}

export function openSdk(cluster: ClusterAddress): Promise<Flotilla> {
  return connect({ servers: cluster.natsUrl, cluster: cluster.clusterName });
}

/** Runs `use` on a connection of its own, tried again until the gateway takes it. */
export async function withPg<T>(
  cluster: ClusterAddress,
  use: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const { value: client } = await eventually(
    'the gateway accepts a connection',
    { timeoutMs: 20_000 },
    async () => {
      const candidate = new pg.Client({
        connectionString: cluster.gatewayUrl,
        connectionTimeoutMillis: 3000,
        query_timeout: 20_000,
      });
      candidate.on('error', () => {});
      await candidate.connect();
      return candidate;
    },
  );
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
