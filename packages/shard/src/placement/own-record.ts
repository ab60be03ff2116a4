/**
 * A store's own row among the cluster's: who it is, how full it is. Written every few seconds through the first range's
 * leaseholder like any write, so each success also proves that this process reaches a cluster that commits. The row is
 * how a disk is told from another one under the same number: whoever finds a stranger's row under its name must end, and so
 * must a copy of the disk that was made before the row was written.
 */
import type { Clock, Logger, Prng, StoreId, Timer } from '@flotilla/base';
import { ExitCode, FatalError, present, toHex } from '@flotilla/base';
import type { DiskCheck } from '../store/disk-check.ts';
import type { Identity } from '../store/identity.ts';
import { whatToDo } from '../store/old-copy.ts';
import { decodeReport, encodeReport, reportKey, type StoreReport } from './cluster-rows.ts';
import type { Capacity, StoreFigures, WriteHealth } from './settings.ts';
import type { RangeContact } from './store-client.ts';

export interface OwnRecordOptions {
  readonly storeId: StoreId;
  readonly machine: string;
  readonly zone: string;
  readonly version: string;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
  readonly identity: () => Identity;
  readonly disk: Pick<DiskCheck, 'durableBatch' | 'isOldCopy' | 'confirm' | 'refuse'>;
  /** No row of this process was committed yet: others are asked who they are. Throws what must end the process. */
  readonly askAround: (inVainBefore: boolean) => Promise<void>;
  readonly firstRange: RangeContact;
  readonly figures: () => Pick<StoreFigures, 'replicas' | 'leases' | 'requests'>;
  readonly capacity: () => Promise<Capacity>;
  readonly everyMs: number;
  readonly onFatal: (error: unknown) => void;
}

/** Unit: ms. */
const attemptTimeoutMs = 4000;
const retryMs = 500;

export class OwnRecord {
  private readonly options: OwnRecordOptions;
  private readonly run: string;
  /** Version of the row that this process knows. Undefined: it must be read first. */
  private rowTimestamp: number | undefined;
  /** The first range was asked in vain. */
  private inVain = false;
  private outdatedBy: StoreReport | undefined;
  private committedAtMs: number | undefined;
  private reason = 'no write has been tried yet';
  private lastRequests = 0;
  private lastAtMs: number | undefined;
  private timer: Timer | undefined;
  private stopped = false;

  constructor(options: OwnRecordOptions) {
    this.options = options;
    const { prng } = options;
    this.run = toHex(Uint8Array.from({ length: 8 }, () => prng.nextBelow(256)));
  }

  get health(): WriteHealth {
    const { committedAtMs, reason } = this;
    return { committedAtMs, reason, everyMs: this.options.everyMs };
  }

  /** The store is no member yet, and why. */
  waits(reason: string): void {
    this.reason = `not part of a cluster yet: ${reason}`;
  }

  start(): void {
    this.schedule(0);
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  /** Reads the row and says whose it is. */
  async find(): Promise<'none' | 'own' | 'stranger' | 'newer' | 'unreachable'> {
    const { firstRange, storeId, identity } = this.options;
    const found = await firstRange.get(reportKey(storeId), attemptTimeoutMs);
    if (found === undefined) return 'unreachable';
    this.rowTimestamp = found.timestamp;
    if (found.value === undefined) return 'none';
    const report = decodeReport(found.value);
    if (report?.storeUuid !== identity().storeUuid) return 'stranger';
    if (report.run === this.run || !this.options.disk.isOldCopy(report)) return 'own';
    this.outdatedBy = report;
    return 'newer';
  }

  /** Writes the row if it is still as it was read. @returns whether it was */
  async write(): Promise<boolean> {
    const { firstRange, storeId, clock } = this.options;
    const value = encodeReport(await this.report());
    const key = reportKey(storeId);
    const row = { key, value, expected: this.rowTimestamp ?? 0 };
    const answer = await firstRange.put(row, attemptTimeoutMs);
    this.rowTimestamp = undefined;
    if (answer?.applied !== true) return false;
    this.rowTimestamp = answer.timestamp;
    if (this.committedAtMs === undefined) await this.options.disk.confirm();
    this.committedAtMs = clock.nowMs();
    this.reason = '';
    return true;
  }

  private schedule(delayMs: number): void {
    if (this.stopped) return;
    this.timer = this.options.clock.setTimer(delayMs, () => {
      this.round().then(
        (well) => this.schedule(well ? this.pauseMs() : retryMs),
        (error: unknown) => {
          if (!this.stopped) this.options.onFatal(error);
        },
      );
    });
  }

  /** Stores that started together do not all write at once. */
  private pauseMs(): number {
    return this.options.everyMs * (0.9 + 0.2 * this.options.prng.nextFloat());
  }

  private async round(): Promise<boolean> {
    const { storeId, disk, askAround } = this.options;
    if (this.committedAtMs === undefined) await askAround(this.inVain);
    if (this.stopped) return false;
    if (this.rowTimestamp === undefined) {
      const found = await this.find();
      if (this.stopped) return false;
      if (found === 'unreachable') {
        this.reason = 'the first range does not answer';
        this.inVain = true;
        return false;
      }
      if (found === 'newer') await disk.refuse(present(this.outdatedBy, 'row'));
      if (found === 'stranger') throw strangerError(storeId);
    }
    if (await this.write()) return true;
    this.reason = 'a write was not committed in time';
    return false;
  }

  private async report(): Promise<Omit<StoreReport, 'toJSON' | '$unknowns'>> {
    const { storeId, machine, zone, version, identity, figures, clock } = this.options;
    const { storeUuid, incarnation } = identity();
    const { replicas, leases, requests } = figures();
    const capacity = await this.options.capacity();
    const now = clock.nowMs();
    const seconds = this.lastAtMs === undefined ? 0 : (now - this.lastAtMs) / 1000;
    const requestsPerSecond =
      seconds > 0 ? Math.round((requests - this.lastRequests) / seconds) : 0;
    this.lastAtMs = now;
    this.lastRequests = requests;
    return {
      ...{ storeId, storeUuid, machine, zone, version, incarnation, run: this.run },
      ...{ replicas, leases, requestsPerSecond, ...capacity },
      logBatch: this.options.disk.durableBatch(),
      reportEveryMs: this.options.everyMs,
    };
  }
}

export function strangerError(storeId: StoreId): FatalError {
  return new FatalError(
    ExitCode.identityMismatch,
    `store ${storeId} of this cluster lives on another disk. ${whatToDo(storeId)}`,
    { storeId, found: 'another disk' },
  );
}
