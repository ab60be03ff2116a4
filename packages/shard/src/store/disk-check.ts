/**
 * Makes sure that the disk of this store is its newest, and of this cluster. Three lines, one behind the other: before it
 * takes part in consensus the store asks those that it shares ranges with what they last heard of its log, and waits a
 * moment for them; as long as no row of it was committed it goes on asking; and its row in the first range, which outlives
 * everybody's memory, is compared when it is read (`placement/own-record.ts`). What was proved once stays proved.
 */
import type { StoreId } from '@flotilla/base';
import { type Discovery, StoreClient } from '../placement/store-client.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import type { StoreContext } from './context.ts';
import { haveAnswered, otherCluster, otherClusterError, provenOld, type Self } from './hearsay.ts';
import { isOldCopy, type LogStart, oldCopyError, type ToldLog } from './old-copy.ts';

/** A question is lost where its answerer has just begun to listen: it is asked again. Unit: ms. */
const askMs = 200;
/** Stores that do not answer are down, and remember nothing when they are back: the row is left. */
const asksAtStart = 3;

export class DiskCheck {
  private readonly context: StoreContext;
  private readonly clusterId: () => Uint8Array | undefined;
  private readonly start: LogStart;
  private takesPart = false;
  /** No other store has replicas of its ranges: it needs nobody to commit. */
  private isAlone = false;

  constructor(context: StoreContext, clusterId: () => Uint8Array | undefined) {
    this.context = context;
    this.clusterId = clusterId;
    const { recoveredBatch } = context.wal;
    this.start = { incarnation: context.identity().incarnation, recoveredBatch };
  }

  /** How far the store's log is durable: what it may tell. */
  durableBatch(): number {
    return this.context.wal.durableBatch();
  }

  isOldCopy(told: ToldLog): boolean {
    return isOldCopy(told, this.start, this.context.identity().unconfirmed);
  }

  /** This store's row was as it should be, and was written anew: whatever starts on this disk later rests on that. */
  async confirm(): Promise<void> {
    if (this.context.identity().unconfirmed !== undefined)
      await this.context.saveIdentity({ unconfirmed: undefined });
  }

  /** Nothing runs on this disk any more. @throws always */
  async refuse({ incarnation, logBatch }: ToldLog): Promise<never> {
    await this.context.saveIdentity({ outdated: true });
    const told = { incarnation, logBatch };
    throw oldCopyError(this.context.storeId, { told, start: this.start });
  }

  /** The store has replicas, and nobody else has any of these ranges: there is nobody to wait for. */
  beginAlone(): void {
    this.isAlone = true;
  }

  /**
   * Before the store takes part. Resolves once all stores that share ranges with it have answered, or after a moment.
   * @throws FatalError(identityMismatch)
   */
  async askBeforeStart(peers: ReadonlySet<StoreId>): Promise<void> {
    const { storeId, options, hlc, isStopping } = this.context;
    const { transport, clock, prng } = options;
    const { clusterId } = this;
    const client = new StoreClient({
      ...{ storeId, transport, clock, prng, clusterId },
      timestamp: () => hlc.peek(),
    });
    try {
      const answers: Discovery[] = [];
      for (let ask = 1; ask <= asksAtStart; ask++) {
        answers.push(
          ...(await client.discover(askMs, storeId, (found) => this.isSettled(peers, found))),
        );
        // From now on the directory is somebody else's.
        if (isStopping()) return;
        await this.refuseIfOld(answers);
        if (haveAnswered(peers, answers, this.self().clusterId)) return;
      }
    } finally {
      client.close();
    }
  }

  /**
   * The store takes part, and has not written its row yet. In vain before: its own cluster had the time to begin.
   * @throws FatalError(identityMismatch): old, or of another cluster
   */
  async askAgain(client: StoreClient, inVainBefore: boolean): Promise<void> {
    this.takesPart = true;
    const answers = await client.discover(askMs, this.context.storeId);
    if (this.context.isStopping()) return;
    await this.refuseIfOld(answers);
    const self = this.self();
    const other = inVainBefore || this.isAlone ? otherCluster(answers, self) : undefined;
    if (other !== undefined) throw otherClusterError(self, other);
  }

  private isSettled(peers: ReadonlySet<StoreId>, found: readonly Discovery[]): boolean {
    const self = this.self();
    return haveAnswered(peers, found, self.clusterId) || provenOld(found, self) !== undefined;
  }

  private async refuseIfOld(answers: readonly Discovery[]): Promise<void> {
    const told = provenOld(answers, this.self());
    if (told !== undefined) await this.refuse(told);
  }

  private self(): Self {
    const { storeId, identity } = this.context;
    const clusterId = this.clusterId() ?? new Uint8Array(0);
    const { unconfirmed } = identity();
    const toldBatch = this.takesPart ? this.durableBatch() : undefined;
    return { storeId, clusterId, start: this.start, unconfirmed, toldBatch };
  }
}

/** Other stores that hold replicas of the same ranges: who may have heard of `self`'s log. */
export function storesBeside(
  self: StoreId,
  descriptors: readonly (RangeDescriptor | undefined)[],
): Set<StoreId> {
  const stores = new Set<StoreId>();
  for (const descriptor of descriptors)
    for (const { storeId } of descriptor?.replicas ?? []) stores.add(storeId);
  stores.delete(self);
  return stores;
}
