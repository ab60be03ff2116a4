/**
 * What the multi-group driver drives: applies committed entries of all groups of the store in one engine write, flips
 * replicas to snapshots in their place in that line, then lets the askers know. A split is applied in a write of its own,
 * once the log of what begins with it is durable. Errors are the driver's to report: they end the process.
 */
import { assert, present, type RangeId, type StoreId } from '@flotilla/base';
import type {
  CommittedEntries,
  LogEntry,
  RaftMessage,
  SnapshotPoint,
  SnapshotRequest,
  SnapshotSendResult,
  SoftState,
  StateMachine,
} from '@flotilla/raft';
import type { EngineOperation } from '../engine/engine.ts';
import type { EngineTurns } from '../engine/engine-turns.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import type { Applied, Replica, StoppedAt } from '../replica/replica.ts';
import type { Birth } from '../split/births.ts';
import type { RangeState } from '../state/range-checkpoint.ts';

export interface StateMachineHooks {
  /** Also of replicas that are being removed; undefined for those that have no state yet. */
  readonly replica: (rangeId: RangeId) => Replica | undefined;
  /** The staged state of this snapshot is the replica's from now on. */
  readonly flip: (rangeId: RangeId, snapshot: SnapshotPoint) => void;
  /** Resolves when the split may take effect. Undefined: its right half does not live here. */
  readonly prepareSplit: (left: Replica, right: RangeDescriptor) => Promise<Birth | undefined>;
  /** It takes effect: `left` has let go of `state`. */
  readonly completeSplit: (left: Replica, state: RangeState, birth: Birth | undefined) => void;
  /** After `apply` has published; `bytes` of log data were applied. */
  readonly onApplied: (bytes: number) => void;
  /** Role, leader or term of a replica changed. */
  readonly onSoftState: (rangeId: RangeId, state: SoftState) => void;
  /** Bounds or members of its range changed, as far as this replica has applied. */
  readonly onDescriptor: (replica: Replica, before: RangeDescriptor) => void;
  readonly sendSnapshot: (request: SnapshotRequest) => Promise<SnapshotSendResult>;
  /** Must not call back into the driver before the turn has ended. */
  readonly onUnknownGroup: (from: StoreId, message: RaftMessage) => void;
}

/** Something of one group that one engine write takes in. */
interface Step {
  readonly rangeId: RangeId;
  readonly snapshot: SnapshotPoint | undefined;
  /** Takes effect before the entries. */
  readonly split: { readonly at: StoppedAt; readonly birth: Birth | undefined } | undefined;
  readonly entries: readonly LogEntry[];
}

export class StoreStateMachine implements StateMachine {
  private readonly turns: EngineTurns;
  private readonly hooks: StateMachineHooks;
  /** What the driver gave is applied in part. */
  private inPart = false;
  private waiting: (() => void)[] = [];

  constructor(turns: EngineTurns, hooks: StateMachineHooks) {
    this.turns = turns;
    this.hooks = hooks;
  }

  /** True while positions are such as the driver knows them, or is about to be told. */
  get isWhole(): boolean {
    return !this.inPart;
  }

  /** Resolves when it is whole; may not be any more when the caller goes on. */
  async whenWhole(): Promise<void> {
    if (this.inPart) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  async apply(batch: readonly CommittedEntries[]): Promise<void> {
    let bytes = 0;
    for (const { entries } of batch) for (const entry of entries) bytes += entry.data.length;
    const first = batch.map(({ rangeId, snapshot, entries }): Step => {
      return { rangeId, snapshot, split: undefined, entries };
    });
    let stopped = await this.take(first);
    while (stopped.length > 0) {
      const steps: Step[] = [];
      for (const at of stopped) {
        const { rangeId } = at.replica;
        const birth = await this.hooks.prepareSplit(at.replica, at.split.right);
        steps.push({ rangeId, snapshot: undefined, split: { at, birth }, entries: at.rest });
      }
      stopped = await this.take(steps);
    }
    this.hooks.onApplied(bytes);
  }

  onSoftState(rangeId: RangeId, state: SoftState): void {
    this.hooks.onSoftState(rangeId, state);
  }

  handOver(rangeId: RangeId): number {
    return this.hooks.replica(rangeId)?.leaseholder?.servedUpTo() ?? 0;
  }

  onHandOver(rangeId: RangeId, term: number, servedUpTo: number): void {
    this.hooks.replica(rangeId)?.onHandOver(term, servedUpTo);
  }

  stateBytes(rangeId: RangeId): number {
    return this.hooks.replica(rangeId)?.storedBytes ?? 0;
  }

  sendSnapshot(request: SnapshotRequest): Promise<SnapshotSendResult> {
    return this.hooks.sendSnapshot(request);
  }

  onUnknownGroup(from: StoreId, message: RaftMessage): void {
    this.hooks.onUnknownGroup(from, message);
  }

  /** One engine write. @returns the splits at which groups stopped */
  private async take(steps: readonly Step[]): Promise<readonly StoppedAt[]> {
    const { hooks } = this;
    const applied: Applied[] = [];
    const stopped: StoppedAt[] = [];
    await this.turns.write(() => {
      const operations: EngineOperation[] = [];
      for (const { rangeId, snapshot, split, entries } of steps) {
        if (snapshot !== undefined) hooks.flip(rangeId, snapshot);
        if (entries.length === 0 && split === undefined) continue;
        const replica = present(hooks.replica(rangeId), `replica of r${rangeId}`);
        if (split !== undefined) {
          assert(replica === split.at.replica, 'a split is finished by the replica that began it');
          hooks.completeSplit(replica, replica.applySplit(split.at), split.birth);
        }
        const result = replica.apply(entries, operations, split?.at);
        applied.push(result);
        if (result.stoppedAt !== undefined) stopped.push(result.stoppedAt);
      }
      this.setInPart(stopped.length > 0);
      return operations;
    });
    for (const each of applied) {
      each.replica.publish(each);
      if (each.before !== undefined) hooks.onDescriptor(each.replica, each.before);
    }
    return stopped;
  }

  private setInPart(inPart: boolean): void {
    this.inPart = inPart;
    if (inPart) return;
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }
}
