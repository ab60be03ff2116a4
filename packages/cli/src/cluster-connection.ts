/** How commands and processes reach their cluster: NATS by the configuration, and a router over it. */
import {
  DbError,
  type Logger,
  osPrng,
  SystemClock,
  silentLogger,
  type Transport,
} from '@flotilla/base';
import { connectNats, createRouter, credentialsOf, type Router } from '@flotilla/router';
import type { ProcessConfig } from './config/settings.ts';

export interface NatsConnectionOptions {
  readonly name: string;
  readonly logger?: Logger;
  /** Unit: ms. Default: tries for ever. */
  readonly firstConnectTimeoutMs?: number;
}

/** @throws DbError UNAVAILABLE once `firstConnectTimeoutMs` has passed; INVALID_ARGUMENT for credentials that are none */
export function connectToNats(
  config: ProcessConfig,
  options: NatsConnectionOptions,
): Promise<Transport> {
  const { caFile, certFile, keyFile } = config.natsSecurity;
  const files = {
    ...(caFile === undefined ? {} : { caFile }),
    ...(certFile === undefined ? {} : { certFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
  };
  return connectNats({
    servers: config.nats,
    cluster: config.cluster,
    ...options,
    ...credentialsOf(config.natsSecurity),
    ...(Object.keys(files).length === 0 ? {} : { tls: files }),
  });
}

/** As above, with what to do where there is nobody. */
export async function connectForCommand(
  config: ProcessConfig,
  name: string,
  timeoutMs: number,
): Promise<Transport> {
  try {
    return await connectToNats(config, { name, firstConnectTimeoutMs: timeoutMs });
  } catch (error) {
    if (!(error instanceof DbError) || error.code !== 'UNAVAILABLE') throw error;
    const advice = 'start nats-server, or say where it is with --nats or FLOTILLA_NATS';
    throw new DbError('UNAVAILABLE', `${error.message}: ${advice}`, { cause: error });
  }
}

export interface ClusterConnection {
  readonly transport: Transport;
  readonly router: Router;
  close(): Promise<void>;
}

/** For commands that ask and end. @throws DbError UNAVAILABLE where no nats-server answers within `timeoutMs` */
export async function connectToCluster(
  config: ProcessConfig,
  timeoutMs: number,
): Promise<ClusterConnection> {
  const transport = await connectForCommand(config, 'flotilla-command', timeoutMs);
  const clock = new SystemClock();
  const router = createRouter({ transport, clock, prng: osPrng(), logger: silentLogger });
  return {
    transport,
    router,
    async close() {
      await router.close();
      await transport.close();
    },
  };
}
