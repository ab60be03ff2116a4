/**
 * The way to disk: what the groups want written forms one batch while the batch before it is being synced; checkpoints
 * wait their turn between batches. Also watches over a sync that does not end (rule L8). Called by the loop; calls the
 * write-ahead log, and gives each Ready back through `settle` once it is durable. Never looks into messages.
 */
import {
  assert,
  Buckets,
  ExitCode,
  FatalError,
  type LogIndex,
  probe,
  type RangeId,
  type Timer,
} from '@flotilla/base';
import type { Ready } from '../core/raft-core.ts';
import type { GroupCompaction, GroupLog, GroupWrite } from '../wal/write-ahead-log.ts';
import { compactionIndex, followedIndexes, groupsToLetGo, type KeptLog } from './compaction.ts';
import type { DriverShell } from './driver-options.ts';
import type { Group } from './group.ts';
import type { LogPoint } from './multi-raft.ts';

/** A Ready on its way to disk, with its group. */
interface PendingWrite {
  readonly group: Group;
  readonly ready: Ready;
}

/** A group that the log forgets. */
interface PendingRemoval {
  readonly rangeId: RangeId;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A log that begins. */
interface PendingBeginning {
  readonly rangeId: RangeId;
  readonly point: LogPoint;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface CheckpointJob {
  readonly applied: ReadonlyMap<RangeId, LogIndex>;
  readonly hlcUpperBound: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface LogLineOptions {
  readonly shell: DriverShell;
  readonly groupOf: (rangeId: RangeId) => Group | undefined;
  /** The Ready, and every one of its group before it, is durable. False: the group need not be looked at for that. */
  readonly settle: (group: Group, ready: Ready, now: number) => boolean;
}

export class LogLine {
  private readonly options: LogLineOptions;
  private readonly shell: DriverShell;
  private writes: PendingWrite[] = [];
  private removals: PendingRemoval[] = [];
  private beginnings: PendingBeginning[] = [];
  private readonly checkpoints: CheckpointJob[] = [];
  private running = false;
  private bytes = 0;
  private silenced = false;
  private watchdog: Timer | undefined;
  /** Of appends, with their syncs. Unit: ms. */
  readonly writeTimes: Buckets = new Buckets();

  constructor(options: LogLineOptions) {
    this.options = options;
    this.shell = options.shell;
  }

  /** An append or a checkpoint is under way: never more than one. */
  get isBusy(): boolean {
    return this.running;
  }
  get hasWork(): boolean {
    const { writes, removals, beginnings, checkpoints } = this;
    return writes.length + removals.length + beginnings.length + checkpoints.length > 0;
  }
  /** Data bytes of entries that are not durable yet. */
  get pendingBytes(): number {
    return this.bytes;
  }
  /** The running sync has lasted longer than E: nothing may leave this store (rule L8). */
  get isStalled(): boolean {
    return this.silenced;
  }
  /** False while the disk makes so little progress that a lease proves nothing (rule L8). */
  provesProgress(now: number): boolean {
    const { wal, timings } = this.shell.options;
    return !this.silenced && wal.pendingSyncMs(now) <= timings.electionTimeoutMs;
  }

  /** The Ready must be durable; `settle` follows. */
  add(group: Group, ready: Ready): void {
    this.writes.push({ group, ready });
    this.bytes += dataBytes(ready);
  }

  /** Everything of the group that waits here is nobody's business any more. */
  drop(group: Group): void {
    this.writes = this.writes.filter((write) => {
      if (write.group !== group) return true;
      this.bytes -= dataBytes(write.ready);
      return false;
    });
  }

  /** Forgets the group, and everything of it that waits here. Resolves when that is durable. */
  remove(group: Group): Promise<void> {
    this.drop(group);
    const { rangeId } = group;
    return new Promise((resolve, reject) => {
      this.removals.push({ rangeId, resolve, reject });
    });
  }

  /** The group's log begins after `point`. Resolves when that is durable. */
  begin(rangeId: RangeId, point: LogPoint): Promise<void> {
    return new Promise((resolve, reject) => {
      this.beginnings.push({ rangeId, point, resolve, reject });
    });
  }

  checkpoint(applied: ReadonlyMap<RangeId, LogIndex>, hlcUpperBound: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.checkpoints.push({ applied, hlcUpperBound, resolve, reject });
    });
  }

  /** Gives the log its next piece of work, if it is idle and there is any. */
  start(): void {
    if (this.running) return;
    const job = this.checkpoints.shift();
    if (job !== undefined) {
      this.running = true;
      this.runCheckpoint(job);
      return;
    }
    if (this.writes.length + this.removals.length + this.beginnings.length === 0) return;
    const { writes, removals, beginnings } = this;
    this.writes = [];
    this.removals = [];
    this.beginnings = [];
    const records: GroupWrite[] = removals.map(({ rangeId }) => forget(rangeId));
    for (const { rangeId, point } of beginnings)
      records.push(beginning(this.shell.options.wal.group(rangeId), point));
    for (const { group, ready } of writes) records.push(recordOf(group.rangeId, ready));
    this.running = true;
    this.armWatchdog();
    const { shell } = this;
    const startedAtMs = shell.clock.nowMs();
    shell.options.wal.append(records).then(
      () => {
        this.writeTimes.observe(shell.clock.nowMs() - startedAtMs);
        shell.guarded(() => this.onPersisted(writes));
        for (const { resolve } of removals) resolve();
        for (const { resolve } of beginnings) resolve();
      },
      (error: unknown) => {
        for (const { reject } of removals) reject(error);
        for (const { reject } of beginnings) reject(error);
        shell.fail(error);
      },
    );
  }

  stop(): void {
    this.watchdog?.cancel();
  }

  /** An append or a checkpoint has ended: the disk works. */
  private onProgress(): void {
    this.running = false;
    this.silenced = false;
  }

  private onPersisted(writes: readonly PendingWrite[]): void {
    this.onProgress();
    const { shell } = this;
    const { settle } = this.options;
    const now = shell.clock.nowMs();
    for (const { group, ready } of writes) {
      this.bytes -= dataBytes(ready);
      if (group.isRemoved) continue;
      const first = group.unpersisted.shift();
      assert(first === ready, 'Readys become durable in order');
      const news = settle(group, ready, now);
      for (let next = group.unpersisted[0]; next !== undefined && !next.mustSync; ) {
        group.unpersisted.shift();
        settle(group, next, now); // nothing was written for it: no news either
        next = group.unpersisted[0];
      }
      if (news) shell.touch(group);
    }
    shell.schedule();
  }

  private runCheckpoint(job: CheckpointJob): void {
    const { shell } = this;
    const compactions: GroupCompaction[] = [];
    const applied: { rangeId: RangeId; appliedIndex: LogIndex }[] = [];
    const now = shell.clock.nowMs();
    const { retainedLogBytesMax } = shell.options.driverLimits;
    const letGo = this.tooLong(job.applied.keys());
    for (const [rangeId, appliedIndex] of job.applied) {
      const group = this.options.groupOf(rangeId);
      // Gone, or flushed by another replica of the range, or a snapshot has overtaken the flush.
      if (group === undefined || appliedIndex > group.lastApplied) continue;
      if (appliedIndex < group.log.checkpointedIndex()) continue;
      applied.push({ rangeId, appliedIndex });
      const status = group.core.status(now);
      const { compactableIndex, firstIndex } = status;
      const { electionTimeoutMs } = shell.options.timings;
      const isLetGo = letGo.has(rangeId);
      const stateBytes = isLetGo ? 0 : (shell.options.stateMachine.stateBytes?.(rangeId) ?? 0);
      const index = compactionIndex({
        flushedIndex: appliedIndex,
        replicatedIndex: compactableIndex,
        neededIndexes: [
          ...Array.from(group.sendingSnapshots, ({ from }) => from),
          ...followedIndexes(status, now, awayElectionTimeouts * electionTimeoutMs),
        ],
        logBytes: group.log.bytes(),
        retainedLogBytesMax: isLetGo ? 0 : retainedLogBytesMax,
        heldBytesMax: Math.max(2 * retainedLogBytesMax, stateBytes),
      });
      if (index < firstIndex) continue;
      compactions.push({ rangeId, index, term: group.core.compact(index) });
    }
    this.armWatchdog();
    const checkpoint = { applied, hlcUpperBound: job.hlcUpperBound };
    shell.options.wal.checkpoint(checkpoint, compactions).then(
      () => {
        this.onProgress();
        job.resolve();
        shell.schedule();
      },
      (error: unknown) => {
        job.reject(error);
        shell.fail(error);
      },
    );
  }

  /** The groups with the longest logs, as far as the whole log is too long: they keep nothing for members that are away. */
  private tooLong(rangeIds: Iterable<RangeId>): ReadonlySet<RangeId> {
    const { wal, driverLimits } = this.shell.options;
    const excessBytes = wal.sizeBytes() - driverLimits.heldLogBytesMax;
    if (excessBytes <= 0) return noGroups;
    const logs: KeptLog[] = [];
    for (const rangeId of rangeIds) {
      const logBytes = this.options.groupOf(rangeId)?.log.bytes() ?? 0;
      if (logBytes > 0) logs.push({ rangeId, logBytes });
    }
    const letGo = groupsToLetGo(logs, excessBytes);
    const [longest] = letGo;
    this.shell.logger.warn({ excessBytes, groups: letGo.size, longest }, 'log_let_go');
    return letGo;
  }

  /** One timer that looks after a running sync; armed only while there is one. */
  private armWatchdog(): void {
    if (this.watchdog !== undefined) return;
    const { shell } = this;
    this.watchdog = shell.clock.setTimer(shell.options.timings.electionTimeoutMs / 2, () => {
      this.watchdog = undefined;
      if (this.running && shell.isAlive()) this.lookAfterSync();
    });
  }

  private lookAfterSync(): void {
    const { shell } = this;
    const { wal, timings, driverLimits } = shell.options;
    const pendingMs = wal.pendingSyncMs(shell.clock.nowMs());
    if (pendingMs > driverLimits.diskStallMsMax) {
      shell.fail(
        new FatalError(
          ExitCode.diskStalled,
          `the log's disk has made no progress for ${Math.round(pendingMs)} ms`,
          { pendingMs },
        ),
      );
      return;
    }
    if (pendingMs > timings.electionTimeoutMs && !this.silenced) {
      this.silenced = true;
      probe('leaseDroppedByDisk');
      shell.logger.error({ pendingMs }, 'disk_stalled_falling_silent');
    }
    this.armWatchdog();
  }
}

/** A member is away, as far as the log goes, when nothing was heard of it for so long: a store that stalls is not yet. */
const awayElectionTimeouts = 4;

const noGroups: ReadonlySet<RangeId> = new Set();

function dataBytes({ entries }: Ready): number {
  let bytes = 0;
  for (const entry of entries) bytes += entry.data.length;
  return bytes;
}

function recordOf(rangeId: RangeId, { hardState, snapshot, entries }: Ready): GroupWrite {
  if (snapshot === undefined) return { rangeId, hardState, entries };
  const { lastIncludedIndex: index, lastIncludedTerm: term } = snapshot;
  return { rangeId, snapshot: { index, term }, hardState, entries };
}

function forget(rangeId: RangeId): GroupWrite {
  return { rangeId, removed: true, hardState: undefined, entries: [] };
}

/** What a replica without a state has heard of terms stays, and its vote: it may have elected somebody. */
function beginning(log: GroupLog, { index, term }: LogPoint): GroupWrite {
  const known = log.hardState();
  assert(log.lastIndex() === 0, 'a log that begins is empty', { range: log.rangeId });
  const hardState =
    known.currentTerm >= term ? known : { ...known, currentTerm: term, votedFor: undefined };
  return {
    rangeId: log.rangeId,
    snapshot: { index, term },
    hardState: { ...hardState, commitIndex: index },
    entries: [],
  };
}
