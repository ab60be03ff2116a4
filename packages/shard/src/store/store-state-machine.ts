/**
 * What the multi-group driver drives: applies committed entries of all groups of the store in one engine write, then
 * lets the askers know. Errors are the driver's to report: they end the process.
 */
import { present, type RangeId, toLogIndex } from '@flotilla/base';
import type { CommittedEntries, SnapshotSendResult, SoftState, StateMachine } from '@flotilla/raft';
import type { EngineOperation } from '../engine/engine.ts';
import type { EngineTurns } from '../engine/engine-turns.ts';
import type { Applied, Replica } from '../replica/replica.ts';

export interface StateMachineHooks {
  /** After `apply` has published; `bytes` of log data were applied. */
  readonly onApplied: (bytes: number) => void;
  /** Role, leader or term of a replica changed. */
  readonly onRoleChange: (replica: Replica) => void;
}

export class StoreStateMachine implements StateMachine {
  private readonly replicas: ReadonlyMap<number, Replica>;
  private readonly turns: EngineTurns;
  private readonly hooks: StateMachineHooks;

  constructor(
    replicas: ReadonlyMap<number, Replica>,
    turns: EngineTurns,
    hooks: StateMachineHooks,
  ) {
    this.replicas = replicas;
    this.turns = turns;
    this.hooks = hooks;
  }

  async apply(batch: readonly CommittedEntries[]): Promise<void> {
    const applied: Applied[] = [];
    let bytes = 0;
    await this.turns.write(() => {
      const operations: EngineOperation[] = [];
      for (const { rangeId, entries } of batch) {
        applied.push(this.replica(rangeId).apply(entries, operations));
        for (const entry of entries) bytes += entry.data.length;
      }
      return operations;
    });
    for (const each of applied) each.replica.publish(each);
    this.hooks.onApplied(bytes);
  }

  onSoftState(rangeId: RangeId, state: SoftState): void {
    const replica = this.replica(rangeId);
    replica.onSoftState(state);
    this.hooks.onRoleChange(replica);
  }

  /** Snapshots are refused for now: the driver asks again. */
  sendSnapshot(): Promise<SnapshotSendResult> {
    return Promise.resolve({ ok: false, index: toLogIndex(0) });
  }

  /** Replicas are only made at founding for now. */
  onUnknownGroup(): void {}

  private replica(rangeId: RangeId): Replica {
    return present(this.replicas.get(rangeId), `replica of r${rangeId}`);
  }
}
