/** The SDK's front door: a client of a cluster, given the addresses of its nats-servers, or of a database in this process. */
import { ClosingSteps, NodeDisk, osPrng, SystemClock, silentLogger } from '@flotilla/base';
import { connectNats, createRouter } from '@flotilla/router';
import { type ClusterConnectOptions, connectionOf, temporaryFiles } from './cluster-options.ts';
import { createFlotilla } from './create-flotilla.ts';
import { connectEmbedded, type EmbeddedConnectOptions } from './embedded.ts';
import type { Flotilla } from './flotilla.ts';

export type ConnectOptions = ClusterConnectOptions | EmbeddedConnectOptions;

/**
 * Connects to the network and finds the cluster, or opens a database of this process's own (`embedded: true`), which needs
 * no nats-server. Afterwards the client looks after the connection itself: it stays usable through failovers and restarts,
 * and operations fail only by their own deadlines.
 * @throws DbError UNAVAILABLE, TIMEOUT: no nats-server, or no cluster of that name; INVALID_ARGUMENT: no address, files that
 * are not there, credentials or certificates that are refused. FatalError: an embedded database's directory is held by
 * another process, or damaged
 */
export async function connect(options: ConnectOptions): Promise<Flotilla> {
  return options.embedded === true ? connectEmbedded(options) : connectCluster(options);
}

async function connectCluster(options: ClusterConnectOptions): Promise<Flotilla> {
  const { cluster = 'main', name = 'flotilla-client', logger = silentLogger } = options;
  const { timeoutMs = 10_000, onOperation } = options;
  const transport = await connectNats({
    ...(await connectionOf(options, new NodeDisk())),
    ...{ cluster, name, logger },
    firstConnectTimeoutMs: timeoutMs,
  });
  const closing = new ClosingSteps();
  closing.add(() => transport.close());
  const clock = new SystemClock();
  const prng = osPrng();
  const router = createRouter({ transport, clock, prng, logger });
  closing.add(() => router.close());
  try {
    return await createFlotilla({
      ...{ router, clock, prng, logger },
      ...temporaryFiles(options.temporaryDirectory, clock),
      ...(onOperation === undefined ? {} : { onOperation }),
      onClosed: () => transport.close(),
    });
  } catch (error) {
    return closing.runAfter(error);
  }
}
