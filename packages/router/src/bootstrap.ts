/**
 * Founds a cluster, once: finds the stores, gives them one cluster id and the first ranges, waits until every range is
 * led. Safe to run again after any failure: a half-done founding is resumed under its own id, a finished one is only
 * checked. Used by `flotilla init`.
 */
import {
  type Clock,
  clusterIdBytes,
  DbError,
  type Logger,
  type Prng,
  type StoreId,
  silentLogger,
  type Transport,
  toHex,
  toStoreId,
} from '@flotilla/base';
import { kv, type RangeInfo } from '@flotilla/shard/protocol';
import { ClientLink, type Response } from './client-link.ts';
import type { DiscoveredStore } from './router-api.ts';
import { StoreRequests } from './store-requests.ts';

type RangeDescriptor = NonNullable<RangeInfo['descriptor']>;

export interface BootstrapOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger?: Logger;
  /** Exactly these stores. Default: whoever answers, as soon as `expectedStores` do. */
  readonly storeIds?: readonly StoreId[];
  readonly expectedStores: number;
  /** The first cut of the key space: `initialRanges` of the shard package. Must depend on nothing but its argument. */
  readonly ranges: (storeIds: readonly StoreId[]) => readonly RangeDescriptor[];
  readonly timeoutMs: number;
}

export interface BootstrapResult {
  /** 16 bytes. */
  readonly clusterId: Uint8Array;
  readonly storeIds: readonly StoreId[];
  readonly ranges: readonly RangeDescriptor[];
  /** False: every store belonged to the cluster already. */
  readonly founded: boolean;
}

const askEveryMs = 200;
/** A store's account of thousands of replicas takes it a while; asking again meanwhile only makes it slower. Unit: ms. */
const statusEveryMs = 1000;
const statusTimeoutMs = 3000;
/** After the expected number has answered: time for one store too many to show itself. */
const graceMs = 300;

/**
 * @throws DbError UNAVAILABLE when stores are missing or ranges have no leaseholder in time; INVALID_ARGUMENT when the
 * stores belong to different clusters, or more of them answer than were expected.
 */
export async function bootstrapCluster(options: BootstrapOptions): Promise<BootstrapResult> {
  const founding = new Founding(options);
  try {
    return await founding.run();
  } finally {
    founding.close();
  }
}

class Founding {
  private readonly options: BootstrapOptions;
  private readonly logger: Logger;
  private readonly link: ClientLink;
  private readonly requests: StoreRequests;
  private readonly deadlineAtMs: number;

  constructor(options: BootstrapOptions) {
    this.options = options;
    this.logger = options.logger ?? silentLogger;
    this.deadlineAtMs = options.clock.nowMs() + options.timeoutMs;
    this.requests = new StoreRequests(options.clock, kv.Request.encode);
    this.link = new ClientLink({
      transport: options.transport,
      clock: options.clock,
      prng: options.prng,
      logger: this.logger,
      onResponse: (response) => void this.requests.onResponse(response),
      onPeerMessage: () => true,
      onHeard: () => {},
      onUnreachable: () => {},
      onConnection: () => {},
    });
    this.requests.wire(this.link);
  }

  async run(): Promise<BootstrapResult> {
    const found = await this.findStores();
    const { clusterId, isNew } = this.clusterIdOf(found);
    const storeIds = this.foundingStores(found);
    const ranges = this.options.ranges(storeIds);
    const outside = found.filter(
      (store) => store.clusterId.length === 0 && storeIds.includes(toStoreId(store.storeId)),
    );
    this.logger.info(
      { clusterId: toHex(clusterId), storeIds, resumed: !isNew, toFound: outside.length },
      'founding_cluster',
    );
    // Also those that say they belong to it: it costs nothing and is checked there.
    await Promise.all(storeIds.map((storeId) => this.found(storeId, clusterId, ranges)));
    this.link.adoptCluster(clusterId);
    await this.waitForLeaseholders(storeIds, ranges);
    return { clusterId, storeIds, ranges, founded: outside.length > 0 };
  }

  close(): void {
    this.requests.close();
    this.link.close();
  }

  private get leftMs(): number {
    return Math.max(0, this.deadlineAtMs - this.options.clock.nowMs());
  }

  private async findStores(): Promise<DiscoveredStore[]> {
    const wanted = this.options.storeIds;
    const found = new Map<number, DiscoveredStore>();
    const complete = (): boolean =>
      wanted === undefined
        ? found.size >= this.options.expectedStores
        : wanted.every((storeId) => found.has(storeId));
    const onAnswer = ({ discover }: Response): void => {
      const storeId = discover?.storeId ?? 0;
      if (!discover || storeId < 1) return;
      if (wanted !== undefined && !wanted.includes(toStoreId(storeId))) return;
      found.set(storeId, {
        storeId,
        clusterId: Uint8Array.from(discover.clusterId ?? []),
        version: discover.version ?? '',
        knownStoreIds: (discover.knownStoreIds ?? []).slice(),
      });
    };
    await this.ask(0, { discover: {} }, this.leftMs, (response) => {
      onAnswer(response);
      return complete();
    });
    if (complete() && wanted === undefined)
      await this.ask(0, { discover: {} }, Math.min(graceMs, this.leftMs), (response) => {
        onAnswer(response);
        return false;
      });
    const ids = [...found.keys()].sort((a, b) => a - b);
    const founded = [...found.values()].some(({ clusterId }) => clusterId.length > 0);
    if (!complete()) {
      const missing =
        wanted === undefined
          ? `${this.options.expectedStores} expected`
          : `missing: ${wanted.filter((id) => !found.has(id)).join(', ')}`;
      const who = ids.length === 0 ? 'no store answers' : `stores ${ids.join(', ')} answer`;
      const advice = founded
        ? 'their cluster is founded already; a store that is added to it joins when it starts'
        : 'start the others, or found it with fewer';
      throw new DbError('UNAVAILABLE', `${who}; ${missing}: ${advice}`);
    }
    // Where a cluster is there already, stores may have joined it since.
    if (wanted === undefined && !founded && ids.length > this.options.expectedStores)
      throw new DbError(
        'INVALID_ARGUMENT',
        `stores ${ids.join(', ')} answer, ${this.options.expectedStores} expected: ask for ${ids.length}, or stop those that are not to take part`,
      );
    return ids.flatMap((id) => found.get(id) ?? []);
  }

  private clusterIdOf(found: readonly DiscoveredStore[]): {
    clusterId: Uint8Array;
    isNew: boolean;
  } {
    const ids = new Map(
      found
        .filter((store) => store.clusterId.length > 0)
        .map((store) => [toHex(store.clusterId), store.clusterId]),
    );
    if (ids.size > 1) {
      const who = found.map((s) => `${s.storeId}: ${toHex(s.clusterId) || 'none'}`).join(', ');
      throw new DbError('INVALID_ARGUMENT', `the stores belong to different clusters (${who})`);
    }
    const [known] = ids.values();
    if (known !== undefined) return { clusterId: known, isNew: false };
    const clusterId = Buffer.alloc(clusterIdBytes);
    for (let at = 0; at < clusterIdBytes; at += 4)
      clusterId.writeUInt32LE(this.options.prng.nextUint32(), at);
    return { clusterId, isNew: true };
  }

  /**
   * Whom the first ranges are cut for. A founding that was begun is finished for the stores it was begun for, which
   * those that took part know; stores that came later join by other means.
   */
  private foundingStores(found: readonly DiscoveredStore[]): StoreId[] {
    const known = new Set(
      found.filter((store) => store.clusterId.length > 0).flatMap((store) => store.knownStoreIds),
    );
    const answering = new Set(found.map((store) => store.storeId));
    if (known.size === 0) return [...answering].map(toStoreId);
    const absent = [...known].filter((id) => !answering.has(id));
    if (absent.length > 0)
      throw new DbError(
        'UNAVAILABLE',
        `a founding was begun with store ${absent.join(', ')} too, which does not answer`,
      );
    return [...known].sort((a, b) => a - b).map(toStoreId);
  }

  private async found(
    storeId: StoreId,
    clusterId: Uint8Array,
    ranges: readonly RangeDescriptor[],
  ): Promise<void> {
    let refused: string | undefined;
    const bootstrap = { clusterId, storeId, ranges: [...ranges] };
    const answered = await this.ask(storeId, { bootstrap }, this.leftMs, (response) => {
      if (response.bootstrap?.ok) return true;
      if (response.bootstrap) refused = response.bootstrap.message || 'refused';
      else if (response.refusal) refused = response.refusal.message || 'refused';
      // A store that is busy or still starting may say yes later; another cluster's store will not.
      return response.bootstrap !== undefined && response.bootstrap !== null;
    });
    if (answered && refused === undefined) return;
    if (answered)
      throw new DbError('INVALID_ARGUMENT', `store ${storeId} refuses the founding: ${refused}`);
    throw new DbError(
      'UNAVAILABLE',
      `store ${storeId} did not take part in the founding: ${refused ?? 'no answer'}`,
    );
  }

  private async waitForLeaseholders(
    storeIds: readonly StoreId[],
    ranges: readonly RangeDescriptor[],
  ): Promise<void> {
    const waiting = new Set(ranges.map((range) => range.rangeId ?? 0));
    while (waiting.size > 0) {
      if (this.leftMs === 0)
        throw new DbError(
          'UNAVAILABLE',
          `founded, but ranges ${[...waiting].join(', ')} have no leaseholder yet`,
        );
      await Promise.all(
        storeIds.map((storeId) =>
          this.ask(
            storeId,
            { status: {} },
            Math.min(statusTimeoutMs, this.leftMs),
            ({ status }) => {
              for (const replica of status?.replicas ?? [])
                if (replica.leaseValid) waiting.delete(replica.info?.descriptor?.rangeId ?? 0);
              return !!status;
            },
            statusEveryMs,
          ),
        ),
      );
      if (waiting.size > 0)
        await this.pause(Math.min(Math.max(50, ranges.length / 2), this.leftMs));
    }
  }

  private ask(
    to: number,
    body: Parameters<StoreRequests['ask']>[0]['body'],
    timeoutMs: number,
    onAnswer: (response: Response) => boolean,
    everyMs: number = askEveryMs,
  ): Promise<boolean> {
    return new Promise((resolve) => {
      this.requests.ask({ to, body, everyMs, timeoutMs, onAnswer, onEnd: resolve });
    });
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.options.clock.setTimer(ms, resolve));
  }
}
