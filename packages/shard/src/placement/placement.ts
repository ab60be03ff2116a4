/**
 * Placement's part of one store: its own row among the stores', joining a cluster that runs, and the allocator. Made by
 * `store/running-store.ts` where placement is on; knows nothing of consensus, and moves nothing by itself: it asks
 * leaseholders like any client.
 */

import type { flotilla } from '../../gen/kv.js';
import { metaRangeId } from '../initial-ranges.ts';
import type { RangeConfigurations } from '../protocol/range-configuration.ts';
import type { ProtectedSnapshots } from '../protocol/snapshot-protection.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import { rangeInfo } from '../replica/answers.ts';
import type { StoreContext } from '../store/context.ts';
import type { DiskCheck } from '../store/disk-check.ts';
import { Allocator } from './allocator.ts';
import type { DatedEvent, EventPost } from './event-post.ts';
import { joinWhenPossible } from './joining.ts';
import { OwnRecord } from './own-record.ts';
import { pacesOf } from './paces.ts';
import type { RangeFigures } from './range-figures.ts';
import type { PlacementSettings, WriteHealth } from './settings.ts';
import { RangeContact, StoreClient } from './store-client.ts';
import { Watch } from './watch.ts';

const defaults = {
  replicationFactor: 3,
  deadAfterMs: 5 * 60_000,
  reportEveryMs: 5000,
};

const done = Promise.resolve();

export interface PlacementOptions {
  readonly context: StoreContext;
  readonly settings: PlacementSettings;
  readonly clusterId: () => Uint8Array | undefined;
  readonly disk: DiskCheck;
  /** Where the first range is, as far as this store knows. */
  readonly metaDescriptor: () => RangeDescriptor | undefined;
  /** Of what its leaseholders tell. */
  readonly figures: RangeFigures;
  /** Of the ranges that this store leads. Unit: requests/s. */
  readonly requestRate: (rangeId: number) => number;
  readonly asker: (rangeId: number) => number;
  /** To the stores of the first range. */
  readonly tellFigures: (
    figures: readonly flotilla.kv.RangeFigures.$Properties[],
    events: readonly DatedEvent[],
  ) => void;
  readonly events: EventPost;
  readonly join: (clusterId: Uint8Array, meta: RangeDescriptor) => Promise<void>;
}

export class Placement {
  private readonly options: PlacementOptions;
  private readonly client: StoreClient;
  private readonly firstRange: RangeContact;
  private readonly record: OwnRecord;
  private readonly watch: Watch;
  private readonly allocator: Allocator;
  private stopped = false;

  constructor(options: PlacementOptions) {
    this.options = options;
    const { context, settings } = options;
    const { clock, prng, transport, machine, version } = context.options;
    const { storeId, hlc, replicas, engine, fail } = context;
    const logger = context.logger.child({ part: 'placement' });
    this.client = new StoreClient({
      ...{ storeId, transport, clock, prng },
      clusterId: options.clusterId,
      timestamp: () => hlc.peek(),
    });
    this.firstRange = new RangeContact(this.client, metaRangeId, () => {
      const replica = replicas.get(metaRangeId);
      if (replica !== undefined) return replica.info();
      const descriptor = options.metaDescriptor();
      return descriptor === undefined ? undefined : rangeInfo(descriptor, 0, 0);
    });
    const reportEveryMs = settings.reportEveryMs ?? defaults.reportEveryMs;
    this.record = new OwnRecord({
      ...{ storeId, machine, zone: settings.zone ?? '', version, clock, prng, logger },
      identity: context.identity,
      disk: options.disk,
      askAround: (inVainBefore) =>
        options.clusterId() === undefined ? done : options.disk.askAgain(this.client, inVainBefore),
      firstRange: this.firstRange,
      figures: () => ({
        replicas: replicas.size,
        leases: leasesOf(replicas.values()),
        requests: context.admission.answered,
      }),
      capacity: settings.capacity ?? (() => Promise.resolve({ capacityBytes: 0, usedBytes: 0 })),
      everyMs: reportEveryMs,
      onFatal: fail,
    });
    this.watch = new Watch({
      ...{ clock, replicas, firstRange: this.firstRange, everyMs: reportEveryMs, onFatal: fail },
      requestRate: options.requestRate,
      asker: options.asker,
      tell: options.tellFigures,
      events: options.events,
    });
    this.allocator = new Allocator({
      ...{ clock, hlc, logger, engine, client: this.client, figures: options.figures },
      first: () => replicas.get(metaRangeId),
      post: options.events,
      replicationFactor: settings.replicationFactor ?? defaults.replicationFactor,
      paces: pacesOf(context.limits.snapshotsReceivingMax, settings.leaseMovesMax),
      reportEveryMs,
      deadAfterMs: settings.deadAfterMs ?? defaults.deadAfterMs,
      onFatal: fail,
    });
  }

  /** What is wanted of the key space, as this store knows it. */
  get configurations(): RangeConfigurations {
    return this.watch.configurations;
  }

  /** Voters that a range which begins there should have, as this store knows it. */
  replicasWanted(startKey: Uint8Array): number {
    const { replicationFactor = defaults.replicationFactor } = this.options.settings;
    return this.configurations.at(startKey).replicas ?? replicationFactor;
  }

  /** Snapshots that are read for long, as this store knows them. Undefined: it does not know yet. */
  get protectedSnapshots(): ProtectedSnapshots | undefined {
    return this.watch.protectedSnapshots;
  }

  get health(): WriteHealth {
    return this.record.health;
  }

  /** The store has no cluster yet: it looks for one, until it is founded. */
  lookForCluster(): void {
    const { context, join, clusterId } = this.options;
    const { client, firstRange, record } = this;
    joinWhenPossible({
      ...{ storeId: context.storeId, client, firstRange, record, logger: context.logger, join },
      isOver: () => this.stopped || clusterId() !== undefined,
    }).catch((error: unknown) => {
      if (!this.stopped) context.fail(error);
    });
  }

  /** The store is part of a cluster. */
  start(): void {
    if (this.stopped) return;
    this.record.start();
    this.watch.start();
    this.allocator.start();
  }

  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    this.record.stop();
    this.watch.stop();
    this.allocator.stop();
    this.client.close();
  }
}

/** How many of these lead their range. */
export function leasesOf(replicas: Iterable<{ readonly role: string }>): number {
  let leases = 0;
  for (const { role } of replicas) if (role === 'leader') leases++;
  return leases;
}
