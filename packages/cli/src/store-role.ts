/** The store of a process: shard's store on the real disk and LevelDB. Called by `start-process.ts`. */
import { statfs } from 'node:fs/promises';
import { NodeDisk, type StoreId, toStoreId } from '@flotilla/base';
import { createRouter } from '@flotilla/router';
import { type Capacity, openLevelEngine, openStore, type Store } from '@flotilla/shard';
import { createStorePrograms } from '@flotilla/sql';
import type { ProcessConfig } from './config/settings.ts';
import type { RoleParts } from './process-parts.ts';
import { version } from './version.ts';

/** How long it may take to hand over leaderships and close its files. Unit: ms. */
const stopTimeoutMs = 2_500;

export interface StoreRole {
  readonly storeId: StoreId;
  readonly store: Store;
  /** Of the volume with its data, as it was looked at last. */
  readonly capacity: Capacity | undefined;
  stop(): Promise<void>;
}

/** @throws FatalError: the directory is locked, damaged, or another store's */
export async function startStoreRole(config: ProcessConfig, parts: RoleParts): Promise<StoreRole> {
  const { placement } = config;
  const { transport, clock, prng } = parts;
  // A store asks other stores as any client does, and seldom: for transactions whose coordinators are gone.
  const router = createRouter({
    transport,
    clock,
    prng,
    logger: parts.logger.child({ part: 'store-client' }),
  });
  let capacity: Capacity | undefined;
  const store = await openStore({
    directory: config.data,
    ...(config.storeId === undefined ? {} : { storeId: toStoreId(config.storeId) }),
    machine: config.machine,
    version,
    transport,
    clock,
    prng,
    finishTransaction: (transaction) => router.transactions.finish(transaction),
    programs: createStorePrograms(),
    disk: new NodeDisk(),
    openEngine: openLevelEngine,
    logger: parts.logger.child({ part: 'store' }),
    onFatal: parts.onFatal,
    limits: {
      splitBytes: placement.splitBytes,
      splitRequestsPerSecond: placement.splitRequestsPerSecond,
      historyTtlMs: placement.gcTtlSeconds * 1000,
      closedTimestampLagMs: placement.closedTimestampLagSeconds * 1000,
      snapshotsReceivingMax: placement.snapshotsAtOnce,
    },
    placement: {
      ...(config.zone === undefined ? {} : { zone: config.zone }),
      deadAfterMs: placement.deadStoreAfterSeconds * 1000,
      reportEveryMs: placement.storeReportSeconds * 1000,
      leaseMovesMax: placement.leaseMovesAtOnce,
      capacity: async () => {
        capacity = await capacityOf(config.data);
        return capacity;
      },
    },
  });
  return {
    storeId: store.storeId,
    store,
    get capacity() {
      return capacity;
    },
    async stop() {
      await router.close();
      await store.stop({ timeoutMs: stopTimeoutMs });
    },
  };
}

/** Of the volume that holds the directory. */
async function capacityOf(directory: string): Promise<Capacity> {
  const { bsize, blocks, bavail } = await statfs(directory);
  return { capacityBytes: bsize * blocks, usedBytes: bsize * (blocks - bavail) };
}
