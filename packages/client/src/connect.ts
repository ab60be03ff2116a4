/** The SDK's front door: a client of a cluster, given the addresses of its nats-servers, or of a database in this process. */
import { DbError, osPrng, SystemClock, silentLogger } from '@flotilla/base';
import { connectNats, createRouter, type NatsOptions } from '@flotilla/router';
import { createFlotilla } from './create-flotilla.ts';
import { connectEmbedded, type EmbeddedConnectOptions } from './embedded.ts';
import type { Flotilla } from './flotilla.ts';

export interface ClusterConnectOptions
  extends Pick<NatsOptions, 'user' | 'password' | 'token' | 'tls' | 'logger'> {
  readonly embedded?: false;
  /** One address or several: `nats://host:port`. Any one that answers will do. */
  readonly servers: string | readonly string[];
  /** The cluster's name, as its stores were started with. Default: `main`. */
  readonly cluster?: string;
  /** What the nats-server calls this connection in its own reports. Default: `flotilla-client`. */
  readonly name?: string;
  /** For finding a nats-server. Unit: ms. Default: 10,000. */
  readonly timeoutMs?: number;
}

export type ConnectOptions = ClusterConnectOptions | EmbeddedConnectOptions;

/**
 * Connects to the network and finds the cluster, or opens a database of this process's own (`embedded: true`), which needs
 * no nats-server. Afterwards the client looks after the connection itself: it stays usable through failovers and restarts,
 * and operations fail only by their own deadlines.
 * @throws DbError UNAVAILABLE, TIMEOUT: no nats-server, or no cluster of that name; INVALID_ARGUMENT: no address.
 * FatalError: an embedded database's directory is held by another process or damaged
 */
export async function connect(options: ConnectOptions): Promise<Flotilla> {
  return options.embedded === true ? connectEmbedded(options) : connectCluster(options);
}

async function connectCluster(options: ClusterConnectOptions): Promise<Flotilla> {
  const servers = typeof options.servers === 'string' ? [options.servers] : [...options.servers];
  if (servers.length === 0)
    throw new DbError('INVALID_ARGUMENT', 'connect needs the address of a nats-server');
  const { cluster = 'main', name = 'flotilla-client', logger = silentLogger } = options;
  const { timeoutMs = 10_000, servers: _servers, embedded: _embedded, ...rest } = options;
  const transport = await connectNats({
    ...rest,
    ...{ servers, cluster, name, logger },
    firstConnectTimeoutMs: timeoutMs,
  });
  const clock = new SystemClock();
  const prng = osPrng();
  const router = createRouter({ transport, clock, prng, logger });
  try {
    return await createFlotilla({ router, clock, prng, logger, onClosed: () => transport.close() });
  } catch (error) {
    await router.close();
    await transport.close();
    throw error;
  }
}
