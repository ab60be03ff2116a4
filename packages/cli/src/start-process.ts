/**
 * The composition root: wires one process from the parts below, by its roles. The demo without a nats-server calls it
 * several times in one process, with transports of one in-memory network. A role's code is loaded only where the
 * process has that role, so that a store starts without the SQL engine.
 */
import {
  ClosingSteps,
  DbError,
  LocalTransport,
  type Logger,
  osPrng,
  type StoreId,
  SystemClock,
  type Transport,
} from '@flotilla/base';
import { connectToNats } from './cluster-connection.ts';
import type { ProcessConfig } from './config/settings.ts';
import type { HttpServer } from './http/http-server.ts';
import type { MetricSources } from './http/metrics.ts';
import { ProcessHealth } from './http/process-health.ts';
import type { ProcessParts, RoleParts, RunningProcess } from './process-parts.ts';

/** Resolves when every role of the process serves. @throws FatalError, UsageError, DbError */
export async function startProcess(
  config: ProcessConfig,
  parts: ProcessParts,
): Promise<RunningProcess> {
  const closing = new ClosingSteps();
  try {
    const clock = parts.clock ?? new SystemClock();
    const prng = parts.prng ?? osPrng();
    const health = new ProcessHealth(clock);
    const sources: MetricSources = { nowMs: () => clock.nowMs() };
    // First: whoever watches is to hear what a process waits for that cannot start.
    const http = await maybeStartHttp(config, { health, sources, logger: parts.logger });
    if (http !== undefined) closing.add(() => http.stop());
    health.waitsFor = `a nats-server at ${config.nats.join(', ')}`;
    const network = parts.transport ?? (await connect(config, parts));
    if (parts.transport === undefined) closing.add(() => network.close());
    // A gateway speaks to the store of its own process without the network.
    const transport = config.roles.length > 1 ? new LocalTransport(network) : network;
    const roleParts: RoleParts = { ...parts, transport, clock, prng };
    health.waitsFor = undefined;
    let storeId: StoreId | undefined;
    if (config.roles.includes('store')) {
      const { startStoreRole } = await import('./store-role.ts');
      const store = await startStoreRole(config, roleParts);
      closing.add(() => store.stop());
      storeId = store.storeId;
      sources.store = store.store;
      sources.capacity = () => store.capacity;
      health.writes = () => store.store.writeHealth;
    }
    let gateway: RunningProcess['gateway'];
    if (config.roles.includes('gateway')) {
      const { startGatewayRole } = await import('./gateway-role.ts');
      health.waitsFor = `cluster "${config.cluster}", which is not founded or has no majority`;
      const role = await startGatewayRole(config, { ...roleParts, home: storeId });
      closing.add(() => role.stop());
      gateway = role.address;
      sources.gateway = role.figures;
      health.probe = () => role.probe();
    }
    health.markServing();
    closing.add(async () => health.markStopping());
    const address = http === undefined ? {} : { http: http.address };
    return { storeId, gateway, ...address, stop: () => closing.run() };
  } catch (error) {
    // Now, since closing may take long, or hang where it is what cannot be reached that is to be closed.
    if (parts.signal?.aborted !== true)
      parts.logger.warn({ reason: String(error) }, 'not_started_closing');
    return closing.runAfter(error);
  }
}

/** The HTTP server's code is loaded only where it is asked for. */
async function maybeStartHttp(
  config: ProcessConfig,
  parts: {
    readonly health: ProcessHealth;
    readonly sources: MetricSources;
    readonly logger: Logger;
  },
): Promise<HttpServer | undefined> {
  if (config.http === undefined) return undefined;
  const { startHttp } = await import('./http/http-server.ts');
  const { metricsOf } = await import('./http/metrics.ts');
  const { health, sources, logger } = parts;
  const metrics = metricsOf(sources);
  return startHttp(config.http, { metrics, health, logger: logger.child({ part: 'http' }) });
}

/** Waits for a nats-server as long as it takes, or until the signal. */
async function connect(config: ProcessConfig, parts: ProcessParts): Promise<Transport> {
  const { signal } = parts;
  const name = config.storeId === undefined ? config.roles.join('+') : `store-${config.storeId}`;
  const connecting = connectToNats(config, { name, logger: parts.logger.child({ part: 'nats' }) });
  if (signal === undefined) return connecting;
  const aborted = new Promise<never>((_resolve, reject) => {
    const abort = (): void => reject(new DbError('CANCELLED', 'told to stop while connecting'));
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
  return Promise.race([connecting, aborted]);
}
