/**
 * Whether a process does its work, as load balancers and supervisors ask: a store does while its own row is committed again
 * and again, a gateway while it can read from the cluster. Filled in by the composition root as the roles start.
 */
import type { Clock } from '@flotilla/base';
import type { WriteHealth } from '@flotilla/shard';

export interface HealthVerdict {
  readonly ok: boolean;
  /** Empty: all is well. */
  readonly reason: string;
}

/**
 * Three rows of a store and an attempt at one: one that is late is no illness, and neither is an election where rows are
 * written every second. Unit: ms.
 */
const staleRows = 3;
const attemptMs = 5000;
const staleLeastMs = 20_000;

export class ProcessHealth {
  private readonly clock: Clock;
  private serves = false;
  /** Undefined: no store here. */
  writes: (() => WriteHealth | undefined) | undefined;
  /** Reads from the cluster; rejects if it cannot. Undefined: no gateway here, or not yet. */
  probe: (() => Promise<void>) | undefined;

  /** Without what it cannot start. */
  waitsFor: string | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Every role serves. */
  markServing(): void {
    this.serves = true;
    this.waitsFor = undefined;
  }

  /** The process is about to stop: nothing new should be sent to it. */
  markStopping(): void {
    this.serves = false;
  }

  ready(): HealthVerdict {
    if (this.serves) return well;
    const { waitsFor } = this;
    const reason =
      waitsFor === undefined ? 'starting, or stopping' : `starting: waits for ${waitsFor}`;
    return { ok: false, reason };
  }

  async health(): Promise<HealthVerdict> {
    const writes = this.writes?.();
    if (writes !== undefined) {
      const { committedAtMs, reason, everyMs } = writes;
      if (committedAtMs === undefined) return { ok: false, reason: `no write yet: ${reason}` };
      const ageMs = this.clock.nowMs() - committedAtMs;
      if (ageMs > Math.max(staleLeastMs, everyMs * staleRows + attemptMs))
        return {
          ok: false,
          reason: `the last write was committed ${Math.round(ageMs / 1000)} s ago: ${reason}`,
        };
    }
    if (this.probe === undefined) return this.writes === undefined ? this.ready() : well;
    try {
      await this.probe();
      return well;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return { ok: false, reason: `the cluster cannot be read: ${reason}` };
    }
  }
}

const well: HealthVerdict = { ok: true, reason: '' };
