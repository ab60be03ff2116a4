/**
 * The way to the state machine: committed entries of all groups, in the order in which the groups became ready, one
 * batch at a time and bounded in bytes. Called by the loop; calls `StateMachine.apply` and tells the cores afterwards.
 */

import { Buckets } from '@flotilla/base';
import type { LogEntry, SnapshotPoint } from '../messages.ts';
import type { DriverShell } from './driver-options.ts';
import type { Group } from './group.ts';
import type { CommittedEntries } from './multi-raft.ts';

export class ApplyLine {
  private readonly shell: DriverShell;
  /** Groups with committed entries, in the order in which they became so. */
  private queue: Group[] = [];
  private running = false;
  private bytes = 0;
  /** Of batches. Unit: ms. */
  readonly times: Buckets = new Buckets();
  /** The batch that is with the state machine is done. */
  private doneWaiters: (() => void)[] = [];

  constructor(shell: DriverShell) {
    this.shell = shell;
  }

  /** A batch is with the state machine: never more than one. */
  get isBusy(): boolean {
    return this.running;
  }
  get hasWork(): boolean {
    return this.queue.length > 0;
  }

  /** Data bytes of committed entries that are not applied yet. */
  get pendingBytes(): number {
    return this.bytes;
  }

  add(group: Group, entries: readonly LogEntry[]): void {
    if (!group.hasCommitted) this.queue.push(group);
    const before = group.committedBytes;
    group.addCommitted(entries);
    this.bytes += group.committedBytes - before;
  }

  /** A snapshot has become durable: the state machine flips to it, and what it replaces is not applied any more. */
  addSnapshot(group: Group, snapshot: SnapshotPoint): void {
    if (!group.hasCommitted) this.queue.push(group);
    this.bytes -= group.committedBytes;
    group.addSnapshot(snapshot);
  }

  /** Drops what waits here of a group that left. Resolves when nothing of it is with the state machine. */
  remove(group: Group): Promise<void> {
    this.queue = this.queue.filter((other) => other !== group);
    this.bytes -= group.committedBytes;
    group.dropCommitted();
    if (!this.running) return Promise.resolve();
    return new Promise((resolve) => this.doneWaiters.push(resolve));
  }

  /** Gives the state machine its next batch, if it is idle and there is one. */
  start(): void {
    if (this.running || this.queue.length === 0) return;
    const { shell, queue } = this;
    const batch: CommittedEntries[] = [];
    const taken: Group[] = [];
    let batchBytes = 0;
    let room = shell.options.driverLimits.applyBatchBytesMax;
    let at = 0;
    while (at < queue.length && (room > 0 || batch.length === 0)) {
      const group = queue[at++];
      if (group === undefined) break;
      const { committed, bytes } = group.takeCommitted(room);
      room -= bytes;
      batchBytes += bytes;
      batch.push(committed);
      taken.push(group);
    }
    const left = queue.slice(at);
    for (const group of taken) if (group.hasCommitted) left.push(group);
    this.queue = left;
    this.running = true;
    const startedAtMs = shell.clock.nowMs();
    shell.options.stateMachine.apply(batch).then(
      () => {
        this.times.observe(shell.clock.nowMs() - startedAtMs);
        this.bytes -= batchBytes;
        shell.guarded(() => this.onApplied(batch, taken));
      },
      (error: unknown) => shell.fail(error),
    );
  }

  private onApplied(batch: readonly CommittedEntries[], groups: readonly Group[]): void {
    this.running = false;
    const { shell } = this;
    const now = shell.clock.nowMs();
    for (let i = 0; i < groups.length; i++) {
      const group = groups[i];
      const committed = batch[i];
      if (group === undefined || committed === undefined || group.isRemoved) continue;
      group.onApplied(committed);
      if (group.core.appliedTo(group.lastApplied, now)) shell.touch(group);
    }
    const waiters = this.doneWaiters;
    this.doneWaiters = [];
    for (const resolve of waiters) resolve();
    shell.schedule();
  }
}
