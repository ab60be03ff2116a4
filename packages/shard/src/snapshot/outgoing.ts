/**
 * One snapshot on its way out: offered, then fed to the receiver as it pulls, until the receiver says what became of it.
 * Nothing is read from the engine before the first pull. Keeps the chunks that the receiver may ask for again.
 */
import { type Clock, crc32c, type StoreId, type Timer } from '@flotilla/base';
import type { Replica } from '../replica/replica.ts';
import { type BulkMessage, type End, type Offer, type Pull, SnapshotOutcome } from './messages.ts';
import type { SnapshotSource } from './source.ts';

export interface OutgoingOptions {
  readonly snapshotId: number;
  readonly replica: Replica;
  readonly toReplicaId: number;
  readonly toStore: StoreId;
  readonly term: number;
  readonly small: boolean;
  readonly clock: Clock;
  readonly idleMs: number;
  readonly openSource: () => Promise<SnapshotSource>;
  readonly send: (message: BulkMessage) => void;
  /** Why it is sent in vain: this replica leads no longer, or the log behind `index` is gone. Undefined: it is not. */
  readonly inVain: (index: number) => string | undefined;
  readonly onFatal: (error: unknown) => void;
}

export interface SendResult {
  readonly ok: boolean;
  /** Installed there. */
  readonly index: number;
  readonly reason: string;
  /** Some of it had arrived there. */
  readonly begun: boolean;
}

/** A receiver that asks for more than this ahead is not ours. */
const windowMax = 64;

export class OutgoingSnapshot {
  readonly result: Promise<SendResult>;
  private readonly options: OutgoingOptions;
  private resolve: (result: SendResult) => void = () => {};
  private source: SnapshotSource | undefined;
  /** Chunks from `acked` on, by sequence. */
  private readonly kept: Buffer[] = [];
  private acked = 0;
  private produced = 0;
  private credit = 0;
  /** The sequence of the chunk with the summary, once the rows have ended. */
  private lastSequence: number | undefined;
  private producing = false;
  private ended = false;
  private lastProgressMs: number;
  private heardSinceTick = false;
  private timer: Timer | undefined;

  constructor(options: OutgoingOptions) {
    this.options = options;
    this.lastProgressMs = options.clock.nowMs();
    this.result = new Promise((resolve) => {
      this.resolve = resolve;
    });
    this.offer();
    this.arm();
  }

  get small(): boolean {
    return this.options.small;
  }

  onPull(pull: Pull): void {
    if (this.ended || pull.next > this.produced || pull.upTo > pull.next + windowMax) return;
    this.heardSinceTick = true;
    if (pull.next > this.acked || pull.upTo > this.credit || pull.installing)
      this.lastProgressMs = this.options.clock.nowMs();
    if (pull.next > this.acked) {
      this.kept.splice(0, pull.next - this.acked);
      this.acked = pull.next;
    }
    this.credit = Math.max(this.credit, pull.upTo);
    if (pull.again)
      for (let sequence = this.acked; sequence < this.produced; sequence++)
        this.sendChunk(sequence);
    this.produce();
  }

  onEnd(end: End): void {
    this.finish({
      ok: end.outcome === SnapshotOutcome.SNAPSHOT_INSTALLED,
      index: end.index,
      reason: end.reason,
      begun: this.acked > 0,
    });
  }

  /** Gives up and tells the receiver. */
  abort(reason: string): void {
    if (this.ended) return;
    const { snapshotId } = this.options;
    const outcome = SnapshotOutcome.SNAPSHOT_FAILED;
    this.options.send({ kind: 'end', snapshotId, outcome, index: 0, reason });
    this.finish({ ok: false, index: 0, reason, begun: this.acked > 0 });
  }

  private finish(result: SendResult): void {
    if (this.ended) return;
    this.ended = true;
    this.timer?.cancel();
    this.kept.length = 0;
    // A read that is under way closes the source when it returns.
    if (!this.producing) this.closeSource();
    this.resolve(result);
  }

  private offer(): void {
    const { snapshotId, replica, toReplicaId, term, small, send } = this.options;
    const offer: Offer = {
      kind: 'offer',
      snapshotId,
      rangeId: replica.rangeId,
      fromReplicaId: replica.replicaId,
      toReplicaId,
      term,
      index: replica.appliedIndex,
      indexTerm: replica.appliedTerm,
      descriptor: replica.descriptor,
      small,
    };
    send(offer);
  }

  private produce(): void {
    if (this.producing || this.ended || this.lastSequence !== undefined) return;
    if (this.produced >= this.credit) return;
    this.producing = true;
    this.run()
      .catch((error: unknown) => this.options.onFatal(error))
      .finally(() => {
        this.producing = false;
        if (this.ended) this.closeSource();
        else this.produce();
      });
  }

  private async run(): Promise<void> {
    if (this.source === undefined) {
      // Much may have happened since the offer. Deletions that begin from now on take their turn behind the reading.
      const why = this.whyInVain();
      if (why !== undefined) return this.abort(why);
      this.source = await this.options.openSource();
    }
    while (!this.ended && this.produced < this.credit) {
      const chunk = await this.source.next();
      if (this.ended) return;
      if (chunk === undefined) this.lastSequence = this.produced;
      this.kept.push(chunk ?? noBytes);
      this.sendChunk(this.produced++);
      if (chunk === undefined) return;
    }
  }

  private sendChunk(sequence: number): void {
    const bytes = this.kept[sequence - this.acked];
    if (bytes === undefined) return;
    const isLast = sequence === this.lastSequence;
    const totals = this.source?.totals;
    this.options.send({
      kind: 'chunk',
      snapshotId: this.options.snapshotId,
      sequence,
      crc: crc32c(bytes),
      bytes,
      summary:
        isLast && totals !== undefined
          ? { rows: totals.rows, bytes: totals.bytes, digest: totals.digest }
          : undefined,
    });
  }

  private whyInVain(): string | undefined {
    const { inVain, replica } = this.options;
    // Its rows are being deleted; and nobody tells it of later leaders.
    if (replica.isRemoved) return 'the replica is removed';
    return inVain(this.source?.index ?? replica.appliedIndex);
  }

  private closeSource(): void {
    const { source } = this;
    this.source = undefined;
    source?.close().catch((error: unknown) => this.options.onFatal(error));
  }

  private arm(): void {
    const { clock, idleMs } = this.options;
    this.timer = clock.setTimer(idleMs / 10, () => {
      if (this.ended) return;
      const why = this.whyInVain();
      if (why !== undefined) this.abort(why);
      else if (clock.nowMs() - this.lastProgressMs >= idleMs) this.abort('no progress');
      else {
        // Whatever was lost, the receiver answers with where it stands.
        if (!this.heardSinceTick) this.offer();
        this.heardSinceTick = false;
        this.arm();
      }
    });
  }
}

const noBytes = Buffer.alloc(0);
