/**
 * Requests to the store itself rather than to a range: who is there, how it does, and found yourself. Answered before
 * the store is founded too.
 */
import { asBuffer, equalBytes, noClusterId, toStoreId } from '@flotilla/base';
import type { MultiRaft } from '@flotilla/raft';
import type { flotilla } from '../../gen/kv.js';
import { metaRangeId } from '../initial-ranges.ts';
import type { WriteHealth } from '../placement/settings.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import { type Answer, rangeInfo } from '../replica/answers.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import {
  checkFounding,
  type Founding,
  foundingPositions,
  foundingStates,
  writeFoundingState,
} from './bootstrap.ts';
import type { StoreContext } from './context.ts';
import type { MetaLink } from './meta-link.ts';
import { statusOf } from './status.ts';

/** So long after its last committed row a store says that its cluster commits. Unit: ms. */
const commitsForMs = 20_000;

export interface StoreRequestsOptions {
  readonly context: StoreContext;
  readonly clusterId: () => Buffer | undefined;
  readonly meta: MetaLink;
  /** Of a range. Unit: requests/s. */
  readonly rateOf: (rangeId: number) => number;
  /** Undefined before founding. */
  readonly raft: () => MultiRaft | undefined;
  readonly writeHealth: () => WriteHealth | undefined;
  /** The state is on disk: the store is part of this cluster from now on. */
  readonly onFounded: (clusterId: Buffer, states: readonly RangeState[]) => void;
}

export class StoreRequests {
  private readonly options: StoreRequestsOptions;
  private readonly startedAtMs: number;
  private founding: Promise<Answer> | undefined;

  constructor(options: StoreRequestsOptions) {
    this.options = options;
    this.startedAtMs = options.context.options.clock.nowMs();
  }

  discover({ aboutStoreId }: flotilla.kv.DiscoverRequest.$Properties): Answer {
    const { storeId, replicas, options } = this.options.context;
    const meta = replicas.get(metaRangeId);
    const descriptor = this.options.meta.descriptor();
    const known = new Set<number>([storeId]);
    for (const replica of replicas.values())
      for (const member of replica.descriptor.replicas) known.add(member.storeId);
    // Whoever asks may send any number.
    const isId = Number.isSafeInteger(aboutStoreId) && (aboutStoreId ?? 0) >= 1;
    const heard = isId ? this.options.raft()?.heardOf(toStoreId(aboutStoreId ?? 0)) : undefined;
    return {
      discover: {
        heardIncarnation: heard?.incarnation ?? 0,
        heardLogBatch: heard?.logBatch ?? 0,
        commits: this.commits(),
        storeId,
        clusterId: this.clusterIdOrNone(),
        meta: meta?.info() ?? (descriptor === undefined ? null : rangeInfo(descriptor, 0, 0)),
        knownStoreIds: [...known].sort((a, b) => a - b),
        version: options.version,
      },
    };
  }

  private commits(): boolean {
    const committedAtMs = this.options.writeHealth()?.committedAtMs;
    const { clock } = this.options.context.options;
    return committedAtMs !== undefined && clock.nowMs() - committedAtMs <= commitsForMs;
  }

  status({ rangeId }: flotilla.kv.StatusRequest.$Properties): Answer {
    const { storeId, replicas, options, wal } = this.options.context;
    const facts = {
      storeId,
      machine: options.machine,
      version: options.version,
      uptimeMs: options.clock.nowMs() - this.startedAtMs,
      pid: options.pid ?? process.pid,
      walBytes: wal.sizeBytes(),
      replicas,
      raft: this.options.raft(),
      wallMs: options.clock.wallMs(),
      rateOf: this.options.rateOf,
    };
    return { status: statusOf(facts, rangeId ?? 0) };
  }

  /** The cluster knows this store: it becomes a member without replicas. Does nothing if it was founded meanwhile. */
  async join(clusterId: Uint8Array, meta: RangeDescriptor): Promise<void> {
    while (this.founding !== undefined) await this.founding;
    if (this.options.clusterId() !== undefined || this.options.context.isStopping()) return;
    this.founding = this.found({ clusterId: Buffer.from(clusterId), ranges: [], meta });
    try {
      await this.founding;
    } finally {
      this.founding = undefined;
    }
  }

  async bootstrap(request: flotilla.kv.BootstrapRequest.$Properties): Promise<Answer> {
    const { storeId, isStopping } = this.options.context;
    // One founding at a time; a repeated request waits and then finds its cluster.
    while (this.founding !== undefined) await this.founding;
    if (isStopping()) return this.bootstrapped(false, 'stopping');
    const clusterId = this.options.clusterId();
    if (clusterId !== undefined) {
      const same = equalBytes(asBuffer(request.clusterId ?? noClusterId), clusterId);
      return this.bootstrapped(same, same ? '' : 'this store belongs to another cluster');
    }
    const checked = checkFounding(request, storeId);
    if (!checked.ok) return this.bootstrapped(false, checked.reason);
    this.founding = this.found(checked.founding);
    try {
      return await this.founding;
    } finally {
      this.founding = undefined;
    }
  }

  /** Nothing is being founded any more. What went wrong with it is its asker's to report. */
  async settled(): Promise<void> {
    await this.founding?.catch(() => {});
  }

  private async found(founding: Founding): Promise<Answer> {
    const { storeId, engine, turns, hlc, wal, identity, saveIdentity, isStopping } =
      this.options.context;
    const states = foundingStates(founding, storeId);
    await writeFoundingState(engine, turns, founding, states, identity().storeUuid);
    const bound = hlc.now();
    const positions = foundingPositions(states);
    for (const rangeId of positions.keys()) wal.group(rangeId);
    await wal.checkpoint(
      {
        applied: [...positions].map(([rangeId, appliedIndex]) => ({ rangeId, appliedIndex })),
        hlcUpperBound: bound,
      },
      [],
    );
    await saveIdentity({
      clusterId: founding.clusterId.toString('hex'),
      checkpointHlc: bound,
      metaDescriptor: founding.meta,
    });
    // The next start finds it founded.
    if (isStopping()) return this.bootstrapped(false, 'stopping');
    this.options.onFounded(founding.clusterId, states);
    return this.bootstrapped(true, '');
  }

  private bootstrapped(ok: boolean, message: string): Answer {
    return { bootstrap: { ok, clusterId: this.clusterIdOrNone(), message } };
  }

  private clusterIdOrNone(): Uint8Array {
    return this.options.clusterId() ?? new Uint8Array(0);
  }
}
