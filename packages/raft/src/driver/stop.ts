/** Handing over leadership before a process stops, so that its ranges are not silent for an election timeout. */
import type { Clock, RangeId, ReplicaId } from '@flotilla/base';
import type { RaftStatus, TransferResult } from '../core/raft-core.ts';

interface HandOverOptions {
  readonly clock: Clock;
  /** In total, for all groups. */
  readonly timeoutMs: number;
  /** A peer that was heard of within this is taken for alive. */
  readonly recentMs: number;
  readonly statuses: () => readonly RaftStatus[];
  readonly transfer: (rangeId: RangeId, target: ReplicaId) => TransferResult;
}

/** How often it looks whether leadership has gone. Unit: ms. */
const pollMs = 20;

/** Resolves when this store leads no group that somebody else could lead, or when time is up. */
export async function handOver(options: HandOverOptions): Promise<void> {
  const { clock } = options;
  const until = clock.nowMs() + options.timeoutMs;
  const asked = new Set<RangeId>();
  for (;;) {
    let waiting = false;
    for (const status of options.statuses()) {
      if (status.role !== 'leader') continue;
      if (!asked.has(status.rangeId)) {
        const target = bestTarget(status, clock.nowMs() - options.recentMs);
        if (target === undefined) continue;
        if (!options.transfer(status.rangeId, target).ok) continue;
        asked.add(status.rangeId);
      }
      waiting = true;
    }
    if (!waiting || clock.nowMs() >= until) return;
    await new Promise<void>((resolve) => {
      clock.setTimer(pollMs, resolve);
    });
  }
}

/** The voter whose log is closest to ours among those heard of since `heardSince`. */
function bestTarget(status: RaftStatus, heardSince: number): ReplicaId | undefined {
  let best: RaftStatus['progress'][number] | undefined;
  for (const progress of status.progress) {
    if (progress.replicaId === status.self || progress.lastHeardMs < heardSince) continue;
    if (status.configuration?.voters.includes(progress.replicaId) !== true) continue;
    if (best === undefined || progress.matchIndex > best.matchIndex) best = progress;
  }
  return best?.replicaId;
}
