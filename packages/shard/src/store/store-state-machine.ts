/**
 * What the multi-group driver drives: applies committed entries of all groups of the store in one engine write, flips
 * replicas to snapshots in their place in that line, then lets the askers know. Errors are the driver's to report: they
 * end the process.
 */
import { present, type RangeId, type StoreId } from '@flotilla/base';
import type {
  CommittedEntries,
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
import type { Applied, Replica } from '../replica/replica.ts';

export interface StateMachineHooks {
  /** Also of replicas that are being removed; undefined for those that have no state yet. */
  readonly replica: (rangeId: RangeId) => Replica | undefined;
  /** The staged state of this snapshot is the replica's from now on. */
  readonly flip: (rangeId: RangeId, snapshot: SnapshotPoint) => void;
  /** After `apply` has published; `bytes` of log data were applied. */
  readonly onApplied: (bytes: number) => void;
  /** Role, leader or term of a replica changed. */
  readonly onSoftState: (rangeId: RangeId, state: SoftState) => void;
  /** The members of its range changed, as far as this replica has applied. */
  readonly onMembers: (replica: Replica, before: RangeDescriptor) => void;
  readonly sendSnapshot: (request: SnapshotRequest) => Promise<SnapshotSendResult>;
  /** Must not call back into the driver before the turn has ended. */
  readonly onUnknownGroup: (from: StoreId, message: RaftMessage) => void;
}

export class StoreStateMachine implements StateMachine {
  private readonly turns: EngineTurns;
  private readonly hooks: StateMachineHooks;

  constructor(turns: EngineTurns, hooks: StateMachineHooks) {
    this.turns = turns;
    this.hooks = hooks;
  }

  async apply(batch: readonly CommittedEntries[]): Promise<void> {
    const { hooks } = this;
    const applied: Applied[] = [];
    let bytes = 0;
    await this.turns.write(() => {
      const operations: EngineOperation[] = [];
      for (const { rangeId, snapshot, entries } of batch) {
        if (snapshot !== undefined) hooks.flip(rangeId, snapshot);
        if (entries.length === 0) continue;
        const replica = present(hooks.replica(rangeId), `replica of r${rangeId}`);
        applied.push(replica.apply(entries, operations));
        for (const entry of entries) bytes += entry.data.length;
      }
      return operations;
    });
    for (const each of applied) {
      each.replica.publish(each);
      if (each.membersBefore !== undefined) hooks.onMembers(each.replica, each.membersBefore);
    }
    hooks.onApplied(bytes);
  }

  onSoftState(rangeId: RangeId, state: SoftState): void {
    this.hooks.onSoftState(rangeId, state);
  }

  sendSnapshot(request: SnapshotRequest): Promise<SnapshotSendResult> {
    return this.hooks.sendSnapshot(request);
  }

  onUnknownGroup(from: StoreId, message: RaftMessage): void {
    this.hooks.onUnknownGroup(from, message);
  }
}
