/** Opens, founds and closes the one store. */
import {
  type Clock,
  ClosingSteps,
  DbError,
  type Disk,
  holdProcess,
  type Logger,
  MemoryNetwork,
  NodeDisk,
  osPrng,
  type Prng,
  SystemClock,
  silentLogger,
  type Transport,
  toStoreId,
  VolatileDisk,
} from '@flotilla/base';
import { bootstrapCluster, createRouter } from '@flotilla/router';
import {
  type Engine,
  foundingRangesMin,
  initialRanges,
  openLevelEngine,
  openStore,
  type StorePrograms,
  VolatileEngine,
} from '@flotilla/shard';
import { storeLimitsInMemory, storeLimitsOnDisk, timings, walSegmentBytes } from './limits.ts';
import { StallFreeClock } from './stall-free-clock.ts';

export interface EmbeddedOptions {
  /** Directory for the data: made if absent, and held by one process at a time. Default: memory, gone with `close`. */
  readonly path?: string;
  readonly logger?: Logger;
  /** Runs what scans carry along. Absent: they come back as rows. */
  readonly programs?: StorePrograms;
  /** The store cannot go on: its disk is full, say. Default: the error is thrown where nobody catches it. */
  readonly onFatal?: (error: Error) => void;
}

export interface EmbeddedCluster {
  readonly clock: Clock;
  readonly prng: Prng;
  /** The client's end of the network. */
  readonly transport: Transport;
  /** Stops the store; what was acknowledged is on disk, where there is one. Idempotent. */
  close(): Promise<void>;
}

const storeId = toStoreId(1);
/** Unit: ms. */
const foundingTimeoutMs = 10_000;
const stopTimeoutMs = 2000;

/**
 * Resolves when all ranges are led: some tens of milliseconds for a new database, an election timeout more for a
 * directory that was used before.
 * @throws FatalError: the directory is held by another process, damaged or not writable; DbError UNAVAILABLE: it belongs
 * to a cluster whose other stores are not here
 */
export async function openEmbeddedCluster(options: EmbeddedOptions = {}): Promise<EmbeddedCluster> {
  const { path, programs, logger = silentLogger, onFatal = throwUncaught } = options;
  const clock = new StallFreeClock(new SystemClock());
  const prng = osPrng();
  const network = new MemoryNetwork({ clock });
  const steps = new ClosingSteps();
  steps.add(async () => clock.close());
  // Nothing here is a socket, and timers of ours do not keep a process alive: whoever waits for an answer must get it.
  const hold = holdProcess();
  steps.add(async () => hold.cancel());
  try {
    const asking = network.connect('store-client');
    steps.add(() => asking.close());
    const router = createRouter({ transport: asking, clock, prng, logger });
    steps.add(() => router.close());
    const serving = network.connect('store');
    steps.add(() => serving.close());
    const store = await openStore({
      ...placeOf(path),
      storeId,
      machine: 'embedded',
      version: 'embedded',
      transport: serving,
      clock,
      prng,
      logger,
      onFatal,
      timings,
      walSegmentBytes,
      ...(programs === undefined ? {} : { programs }),
      finishTransaction: (transaction) => router.transactions.finish(transaction),
    });
    steps.add(() => store.stop({ timeoutMs: stopTimeoutMs }));
    await found({ network, clock, prng, logger });
    const transport = network.connect('client');
    steps.add(() => transport.close());
    return { clock, prng, transport, close: () => steps.run() };
  } catch (error) {
    logger.warn({ error }, 'embedded_cluster_not_opened');
    return steps.runAfter(error);
  }
}

interface Place {
  readonly directory: string;
  readonly disk: Disk;
  readonly openEngine: (directory: string) => Promise<Engine>;
  readonly limits: typeof storeLimitsOnDisk;
}

function placeOf(path: string | undefined): Place {
  if (path === undefined)
    return {
      directory: 'embedded',
      disk: new VolatileDisk(),
      openEngine: async () => new VolatileEngine(),
      limits: storeLimitsInMemory,
    };
  if (path === '')
    throw new DbError('INVALID_ARGUMENT', 'the path of an embedded database is not empty');
  return {
    directory: path,
    disk: new NodeDisk(),
    openEngine: openLevelEngine,
    limits: storeLimitsOnDisk,
  };
}

/** Founds the cluster, or finds it founded, and waits until its ranges are led. */
async function found(parts: {
  readonly network: MemoryNetwork;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
}): Promise<void> {
  const { network, ...rest } = parts;
  const transport = network.connect('founder');
  try {
    await bootstrapCluster({
      ...rest,
      transport,
      storeIds: [storeId],
      expectedStores: 1,
      ranges: (storeIds) => initialRanges(storeIds, foundingRangesMin),
      timeoutMs: foundingTimeoutMs,
    });
  } finally {
    await transport.close();
  }
}

function throwUncaught(error: Error): void {
  queueMicrotask(() => {
    throw error;
  });
}
