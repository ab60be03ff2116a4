/**
 * The composition root: wires one process from the parts below, by its roles. The only place that knows them all. The
 * demo without a nats-server calls it several times in one process, with transports of one in-memory network.
 */
import {
  type Clock,
  DbError,
  type Logger,
  NodeDisk,
  osPrng,
  type Prng,
  type StoreId,
  SystemClock,
  systemPrefix,
  type Transport,
  toStoreId,
} from '@flotilla/base';
import { createFlotilla, type Flotilla } from '@flotilla/client';
import { type Gateway, startGateway } from '@flotilla/gateway';
import { createRouter } from '@flotilla/router';
import { openLevelEngine, openStore, type Store } from '@flotilla/shard';
import { connectToNats } from './cluster-connection.ts';
import type { ProcessConfig } from './config/settings.ts';
import { UsageError } from './usage-error.ts';
import { version } from './version.ts';

/** How long open connections may finish what they do before the gateway closes them. Unit: ms. */
const gatewayGraceMs = 1_500;
/** How long a store may take to hand over its leaderships and close its files. Unit: ms. */
const storeStopMs = 2_500;
/** Process ids that clients are given name their gateway by a number below this. */
const gatewayIdsMax = 1024;
/** How long one attempt of a gateway to read from its cluster may take. Unit: ms. */
const clusterProbeMs = 2_000;
/** Between two attempts of a gateway to find its cluster. Unit: ms. */
const clusterRetryMs = 250;

export interface ProcessParts {
  readonly logger: Logger;
  /** Undefined: a NATS connection made from the config. One that is handed in stays open at the end. */
  readonly transport?: Transport;
  readonly clock?: Clock;
  readonly prng?: Prng;
  /** The process cannot go on. Called at most a few times; the first error is the reason. */
  readonly onFatal: (error: Error) => void;
  /** Ends waiting for the network or the cluster. */
  readonly signal?: AbortSignal;
}

export interface RunningProcess {
  readonly storeId: StoreId | undefined;
  readonly gateway: { readonly host: string; readonly port: number } | undefined;
  /** Drains the gateway, hands over leaderships, flushes, disconnects. Takes up to about 4 s. */
  stop(): Promise<void>;
}

/** Resolves when every role of the process serves. @throws FatalError, DbError */
export async function startProcess(
  config: ProcessConfig,
  parts: ProcessParts,
): Promise<RunningProcess> {
  const clock = parts.clock ?? new SystemClock();
  const prng = parts.prng ?? osPrng();
  const undo: (() => Promise<void>)[] = []; // in order of making; undone in reverse
  const stop = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const transport = parts.transport ?? (await connect(config, parts));
    if (parts.transport === undefined) undo.push(() => transport.close());
    let store: Store | undefined;
    if (config.roles.includes('store')) {
      store = await openStoreOf(config, { ...parts, transport, clock, prng });
      const opened = store;
      undo.push(() => opened.stop({ timeoutMs: storeStopMs }));
    }
    let gateway: Gateway | undefined;
    if (config.roles.includes('gateway')) {
      const flotilla = await joinCluster({ ...parts, transport, clock, prng });
      undo.push(() => flotilla.close());
      gateway = await startGatewayOf(config, flotilla, { ...parts, transport, clock, prng });
      const started = gateway;
      undo.push(() => started.stop({ graceMs: gatewayGraceMs }));
    }
    return {
      storeId: store?.storeId,
      gateway: gateway === undefined ? undefined : { host: gateway.host, port: gateway.port },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

type Wired = ProcessParts & {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly prng: Prng;
};

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

function openStoreOf(config: ProcessConfig, wired: Wired): Promise<Store> {
  return openStore({
    directory: config.data,
    ...(config.storeId === undefined ? {} : { storeId: toStoreId(config.storeId) }),
    machine: config.machine,
    version,
    transport: wired.transport,
    clock: wired.clock,
    prng: wired.prng,
    disk: new NodeDisk(),
    openEngine: openLevelEngine,
    logger: wired.logger.child({ part: 'store' }),
    onFatal: wired.onFatal,
  });
}

/** Waits as long as it takes for a cluster to be there, or until the signal: gateways may start before it is founded. */
async function joinCluster(wired: Wired): Promise<Flotilla> {
  const logger = wired.logger.child({ part: 'client' });
  const { transport, clock, prng, signal } = wired;
  for (;;) {
    signal?.throwIfAborted();
    const router = createRouter({ transport, clock, prng, logger });
    const giveUp = (): void => void router.close(); // ends what is under way
    signal?.addEventListener('abort', giveUp);
    try {
      await router.get([systemPrefix], { timeoutMs: clusterProbeMs }); // any key will do
      return await createFlotilla({ router, clock, prng, logger });
    } catch (error) {
      await router.close();
      signal?.throwIfAborted();
      if (!(error instanceof DbError) || !waitable.has(error.code)) throw error;
      logger.info({ code: error.code, reason: error.message }, 'waiting for the cluster');
      await new Promise<void>((resolve) => {
        setTimeout(resolve, clusterRetryMs);
      });
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }
}

/** @throws UsageError if the address cannot be listened on */
async function startGatewayOf(
  config: ProcessConfig,
  flotilla: Flotilla,
  wired: Wired,
): Promise<Gateway> {
  const { host, port } = config.listen;
  try {
    return await startGateway({
      host,
      port,
      createSession: (options) => flotilla.createSession(options),
      clock: wired.clock,
      logger: wired.logger.child({ part: 'gateway' }),
      gatewayId: wired.prng.nextBelow(gatewayIdsMax),
      onFatal: (error) => wired.onFatal(toError(error)),
    });
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    throw new UsageError(
      `--listen is "${host}:${port}": ${error.message}. Give an address of this machine and a free port.`,
    );
  }
}

const waitable: ReadonlySet<string> = new Set(['TIMEOUT', 'UNAVAILABLE', 'BUSY']);

function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
