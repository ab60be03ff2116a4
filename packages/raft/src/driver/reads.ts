/**
 * Linearizable reads: by lease, if the core has one and neither disk nor clocks speak against it; otherwise by a round
 * of heartbeats (ReadIndex), which all barriers of a turn share. Called by the loop and by the driver's door.
 */
import type { ReadPoint } from '../core/raft-core.ts';
import type { DriverShell } from './driver-options.ts';
import type { Group, Resolve } from './group.ts';
import { ClockGuard } from './guards.ts';
import type { StoreLiveness } from './liveness/store-liveness.ts';
import type { LogLine } from './log-line.ts';
import type { ReadGrant } from './multi-raft.ts';

export class Reads {
  private readonly shell: DriverShell;
  private readonly log: LogLine;
  private readonly liveness: StoreLiveness;
  private readonly clockGuard: ClockGuard;

  constructor(shell: DriverShell, log: LogLine, liveness: StoreLiveness) {
    const { clock, options } = shell;
    this.shell = shell;
    this.log = log;
    this.liveness = liveness;
    const { leaseDurationMs } = options.timings;
    this.clockGuard = new ClockGuard(clock.nowMs(), clock.wallMs(), leaseDurationMs);
  }

  /** Compares the clocks; once per turn, so that a jump is seen soon after it. */
  lookAtClocks(now: number): void {
    this.clockGuard.trusted(now, this.shell.clock.wallMs());
  }

  /** Whether a lease means anything at `now`, whatever group has it. */
  mayTrustLeases(now: number): boolean {
    const { clock } = this.shell;
    return this.clockGuard.trusted(now, clock.wallMs()) && this.log.provesProgress(now);
  }

  /** An idle group is not told of every heartbeat of its stores: only when somebody asks. True if it is leased at `now`. */
  renewedLease(group: Group, now: number): boolean {
    if (group.core.leaseValid(now)) return true;
    this.liveness.sync(group);
    return group.core.leaseValid(now);
  }

  barrier(group: Group): Promise<ReadGrant> {
    const now = this.shell.clock.nowMs();
    if (this.mayTrustLeases(now) && this.renewedLease(group, now))
      return Promise.resolve({ ok: true });
    return new Promise((resolve) => {
      group.askingReads.push(resolve);
      this.shell.touch(group);
    });
  }

  /** A follower that lags, or was removed and does not know, does not let its readers wait for ever. */
  onPoint(group: Group, point: ReadPoint): void {
    const waiting = group.onReadPoint(point);
    if (waiting === undefined || group.softState?.role === 'leader') return;
    const { clock, options } = this.shell;
    clock.setTimer(options.timings.electionTimeoutMs, () => group.giveUp(waiting));
  }

  /** Asks the core for one read point for all barriers of the group that came since the last turn. */
  ask(group: Group, now: number): void {
    if (group.askingReads.length === 0) return;
    const waiters = group.askingReads;
    group.askingReads = [];
    const result = group.core.readIndex(now);
    if (!result.ok) {
      const { reason, leader } = result;
      for (const resolve of waiters) resolve({ ok: false, reason, leader });
      return;
    }
    const others: readonly Resolve[] = group.confirmingReads.get(result.context) ?? [];
    group.confirmingReads.set(result.context, [...others, ...waiters]);
  }
}
