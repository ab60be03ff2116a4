/** The gateway of a process: finds its cluster, then listens. Called by `start-process.ts`. */
import { ClosingSteps, DbError, NodeDisk, type StoreId, systemPrefix } from '@flotilla/base';
import { createFlotilla, type Flotilla } from '@flotilla/client';
import { type Gateway, startGateway } from '@flotilla/gateway';
import { createRouter, followerReadLagMs } from '@flotilla/router';
import type { ProcessConfig } from './config/settings.ts';
import { gatewaySecurity } from './gateway-security.ts';
import type { GatewaySource } from './http/gateway-metrics.ts';
import type { RoleParts } from './process-parts.ts';
import { UsageError } from './usage-error.ts';

/** How long statements under way may go on before their connections are closed. Unit: ms. */
const graceMs = 1_500;
/** How long one attempt to read from the cluster may take. Unit: ms. */
const probeTimeoutMs = 2_000;
/** Nobody's: what matters is that somebody answers. */
const probeKey = '\u0000probe';
/** Between two attempts. Unit: ms. */
const retryMs = 250;

type GatewayParts = RoleParts & {
  /** The store of the same process. */
  readonly home: StoreId | undefined;
};

export interface GatewayRole {
  readonly address: { readonly host: string; readonly port: number };
  readonly gateway: Gateway;
  /** For metrics. */
  readonly figures: GatewaySource;
  /** Reads from the cluster. Rejects if it cannot. */
  probe(): Promise<void>;
  stop(): Promise<void>;
}

/** @throws UsageError if the address cannot be listened on; whatever `signal` was aborted with */
export async function startGatewayRole(
  config: ProcessConfig,
  parts: GatewayParts,
): Promise<GatewayRole> {
  const flotilla = await joinCluster(config, parts);
  const closing = new ClosingSteps();
  closing.add(() => flotilla.close());
  try {
    const gateway = await listen(config, flotilla, parts);
    closing.add(() => gateway.stop({ graceMs }));
    return {
      address: { host: gateway.host, port: gateway.port },
      gateway,
      figures: {
        get connectionCount() {
          return gateway.connectionCount;
        },
        counters: gateway.counters,
        spilledBytes: () => flotilla.spilledBytes(),
      },
      probe: async () => void (await flotilla.kv.get(probeKey, { timeoutMs: probeTimeoutMs })),
      stop: () => closing.run(),
    };
  } catch (error) {
    return closing.runAfter(error);
  }
}

/** Waits as long as it takes for a cluster to be there, or until the signal: gateways may start before it is founded. */
async function joinCluster(config: ProcessConfig, parts: GatewayParts): Promise<Flotilla> {
  const logger = parts.logger.child({ part: 'client' });
  const { transport, clock, prng, signal } = parts;
  for (;;) {
    signal?.throwIfAborted();
    const { machine, zone, placement, temporaryDirectory } = config;
    const closedTimestampLagMs = placement.closedTimestampLagSeconds * 1000;
    const router = createRouter({
      transport,
      clock,
      prng,
      logger,
      place: { machine, zone },
      home: parts.home,
      timings: { followerReadLagMs: followerReadLagMs(closedTimestampLagMs) },
    });
    const giveUp = (): void => void router.close(); // ends what is under way
    signal?.addEventListener('abort', giveUp);
    try {
      await router.get([systemPrefix], { timeoutMs: probeTimeoutMs }); // any key will do
      const prefix = `flotilla-${process.pid}-${clock.wallMs()}-`;
      const spill = { disk: new NodeDisk(), directory: temporaryDirectory, prefix };
      return await createFlotilla({ router, clock, prng, logger, spill });
    } catch (error) {
      await router.close();
      signal?.throwIfAborted();
      if (!(error instanceof DbError) || !worthWaiting.has(error.code)) throw error;
      logger.info({ code: error.code, reason: error.message }, 'waiting_for_the_cluster');
      await new Promise<void>((resolve) => {
        setTimeout(resolve, retryMs);
      });
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }
}

const worthWaiting: ReadonlySet<string> = new Set(['TIMEOUT', 'UNAVAILABLE', 'BUSY']);

async function listen(
  config: ProcessConfig,
  flotilla: Flotilla,
  parts: RoleParts,
): Promise<Gateway> {
  const { host, port } = config.listen;
  const security = gatewaySecurity(config.gatewaySecurity);
  try {
    return await startGateway({
      host,
      port,
      ...security,
      createSession: (options) => flotilla.createSession(options),
      logins: flotilla.logins,
      clock: parts.clock,
      logger: parts.logger.child({ part: 'gateway' }),
      gatewayId: await flotilla.remoteCancels.join(),
      remoteCancels: flotilla.remoteCancels,
      onFatal: (error) => parts.onFatal(error instanceof Error ? error : new Error(String(error))),
    });
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    throw new UsageError(
      `--listen is "${host}:${port}": ${error.message}. Give an address of this machine and a free port.`,
    );
  }
}
