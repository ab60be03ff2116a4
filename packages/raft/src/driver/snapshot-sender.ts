/**
 * Snapshots on their way to members that the log does not reach: asks the state machine to send one, and tells the core
 * what became of it. The state travels between state machines; nothing of it passes through here.
 */
import { type LogIndex, type ReplicaId, toLogIndex } from '@flotilla/base';
import type { SnapshotSendResult } from '../core/raft-core.ts';
import type { DriverShell } from './driver-options.ts';
import type { Group } from './group.ts';

const notSent: SnapshotSendResult = { ok: false, index: toLogIndex(0) };

export class SnapshotSender {
  private readonly shell: DriverShell;

  constructor(shell: DriverShell) {
    this.shell = shell;
  }

  /** The core asked for each of these once; it asks again after a failure. */
  send(group: Group, wanted: readonly ReplicaId[]): void {
    for (const to of wanted) this.sendOne(group, to, group.lastApplied);
  }

  private sendOne(group: Group, to: ReplicaId, from: LogIndex): void {
    const { shell } = this;
    const { softState, rangeId } = group;
    const storeId = group.storeOf.get(to);
    if (softState === undefined || storeId === undefined) {
      this.report(group, to, notSent);
      return;
    }
    const { term } = softState;
    const sending = { from };
    group.sendingSnapshots.add(sending);
    const reaches = (index: LogIndex): boolean => group.log.firstIndex() <= index + 1;
    shell.options.stateMachine.sendSnapshot({ rangeId, to, storeId, term, reaches }).then(
      (result) =>
        shell.guarded(() => {
          group.sendingSnapshots.delete(sending);
          // Of an earlier leadership it means nothing to this one.
          if (group.softState?.term === term) this.report(group, to, result);
        }),
      (error: unknown) => shell.fail(error),
    );
  }

  private report(group: Group, to: ReplicaId, result: SnapshotSendResult): void {
    if (group.isRemoved || !this.shell.isAlive()) return;
    group.core.snapshotSent(to, result, this.shell.clock.nowMs());
    this.shell.touch(group);
  }
}
