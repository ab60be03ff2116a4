/**
 * Keeps what long snapshots need: stores forget replaced versions after a while, but not those of a snapshot that has a row
 * among the cluster's own, which this writes and renews. Only for snapshots that have been read for a while already, so that
 * ordinary transactions cost nothing. Decides nothing: where a row comes too late or is lost, the read is refused as too old.
 */
import { type Clock, DbError, type Logger, type Timer, toHex } from '@flotilla/base';
import { protectSnapshot, type Router, removeExpiredProtections } from '@flotilla/router';

export interface SnapshotKeeperOptions {
  readonly router: Pick<Router, 'scan' | 'write'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A snapshot that is read for longer is kept. Unit: ms. */
export const keptAfterMs = 20_000;
/** Rows are renewed so often, and expire so long after. Unit: ms. */
const renewEveryMs = 30_000;
const lastsMs = 120_000;
/** Nobody has read the snapshot for so long: it is over, or slower than one may be. Unit: ms. */
const idleMs = 5 * 60_000;
/** Expired rows of anybody's go after this; stores heed them for ten seconds. Unit: ms. */
const sweptAfterMs = 60_000;
const stepTimeoutMs = 5000;

interface Kept {
  readonly id: Uint8Array;
  readonly timestamp: number;
  /** Monotonic. Unit: ms. */
  lastReadMs: number;
  /** Of the row's newest version, and its first. 0: not written yet. */
  version: number;
  createdAt: number;
  expiresAtMs: number;
  /** The row is not what it was, or nobody knows: it is not written anew. */
  isLost: boolean;
}

export class SnapshotKeeper {
  private readonly options: SnapshotKeeperOptions;
  private readonly kept = new Map<string, Kept>();
  private timer: Timer | undefined;
  private working = false;
  private closed = false;

  constructor(options: SnapshotKeeperOptions) {
    this.options = options;
  }

  /** A snapshot that has been read for long was read again. */
  onRead(id: Uint8Array, timestamp: number): void {
    if (this.closed || timestamp <= 0) return;
    const name = toHex(id);
    const now = this.options.clock.nowMs();
    const known = this.kept.get(name);
    // A snapshot only ever moves up: the row of before protects it too.
    if (known !== undefined) {
      known.lastReadMs = now;
      return;
    }
    this.kept.set(name, {
      ...{ id, timestamp, lastReadMs: now },
      ...{ version: 0, createdAt: 0, expiresAtMs: 0, isLost: false },
    });
    if (this.working) return;
    this.timer?.cancel();
    void this.round();
  }

  close(): void {
    this.closed = true;
    this.timer?.cancel();
    this.kept.clear();
  }

  private async round(): Promise<void> {
    const { clock, logger } = this.options;
    this.working = true;
    this.timer = undefined;
    let written = false;
    try {
      for (const [name, kept] of [...this.kept]) {
        if (clock.nowMs() - kept.lastReadMs > idleMs) this.kept.delete(name);
        else if (
          !kept.isLost &&
          (kept.version === 0 || clock.wallMs() + lastsMs - kept.expiresAtMs >= renewEveryMs)
        ) {
          if (await this.write(kept)) written = true;
          else kept.isLost = true;
        }
      }
      if (written) await this.sweep();
    } catch (error) {
      if (!(error instanceof DbError)) throw error;
      logger.debug({ err: error }, 'snapshot_not_kept');
    } finally {
      this.working = false;
    }
    if (this.closed || this.kept.size === 0) return;
    this.timer = clock.setTimer(renewEveryMs / 2, () => void this.round());
  }

  /** @returns whether the row is there as it should be */
  private async write(kept: Kept): Promise<boolean> {
    const { router, clock } = this.options;
    const { id, timestamp, version, createdAt } = kept;
    const wallMs = clock.wallMs();
    // It may be over for those who look: what was forgotten since does not come back.
    if (version > 0 && wallMs >= kept.expiresAtMs) return false;
    const expiresAtMs = wallMs + lastsMs;
    const row = { id, version, timestamp, createdAt, expiresAtMs };
    const written = await protectSnapshot(router, row, { timeoutMs: stepTimeoutMs });
    if (written === undefined) return false;
    kept.version = written;
    kept.createdAt = createdAt > 0 ? createdAt : written;
    kept.expiresAtMs = expiresAtMs;
    return true;
  }

  /** Takes away what has expired, whoever wrote it. */
  private async sweep(): Promise<void> {
    const { router, clock } = this.options;
    const options = { timeoutMs: stepTimeoutMs };
    await removeExpiredProtections(router, clock.wallMs() - sweptAfterMs, options);
  }
}
