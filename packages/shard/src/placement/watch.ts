/**
 * What each store does for placement beside its own row, as often: reads what is wanted of spans of the key space and which
 * snapshots are to be kept, and tells how much the ranges that it leads hold and are asked, and what happened here. Both are best effort: repeated, and old until then.
 */
import { type Clock, equalBytes, type Timer } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import {
  configurationSpan,
  decodeConfigurationRow,
  noConfigurations,
  RangeConfigurations,
} from '../protocol/range-configuration.ts';
import {
  decodeProtection,
  ProtectedSnapshots,
  protectionSpan,
} from '../protocol/snapshot-protection.ts';
import type { Replica } from '../replica/replica.ts';
import type { DatedEvent, EventPost } from './event-post.ts';
import type { RangeContact, Row } from './store-client.ts';

type Told = flotilla.kv.RangeFigures.$Properties;

export interface WatchOptions {
  readonly clock: Clock;
  readonly everyMs: number;
  readonly firstRange: RangeContact;
  readonly replicas: ReadonlyMap<number, Replica>;
  /** Unit: requests/s. */
  readonly requestRate: (rangeId: number) => number;
  /** The store whose process asks for most of it. 0: none does. */
  readonly asker: (rangeId: number) => number;
  /** To the stores of the first range. */
  readonly tell: (figures: readonly Told[], events: readonly DatedEvent[]) => void;
  readonly events: EventPost;
  readonly onFatal: (error: unknown) => void;
}

const scanTimeoutMs = 4000;

export class Watch {
  /** As of the last time that the first range answered. */
  configurations: RangeConfigurations = noConfigurations;
  /** The same. Undefined: it has not answered yet. */
  protectedSnapshots: ProtectedSnapshots | undefined;
  private readonly options: WatchOptions;
  private configurationRows: readonly Row[] = [];
  private timer: Timer | undefined;
  private stopped = false;

  constructor(options: WatchOptions) {
    this.options = options;
  }

  start(): void {
    this.schedule(0);
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  private schedule(delayMs: number): void {
    if (this.stopped) return;
    const { clock, everyMs, onFatal } = this.options;
    this.timer = clock.setTimer(delayMs, () => {
      this.round().then(
        () => this.schedule(everyMs),
        (error: unknown) => {
          if (!this.stopped) onFatal(error);
        },
      );
    });
  }

  private async round(): Promise<void> {
    const { firstRange, replicas, requestRate, asker, tell, events } = this.options;
    const figures: Told[] = [];
    for (const { leaseholder, rangeId, storedBytes } of replicas.values())
      if (leaseholder?.isReady === true)
        figures.push({
          rangeId,
          bytes: Math.max(0, Math.round(storedBytes)),
          requestsPerSecond: Math.round(requestRate(rangeId)),
          askerStoreId: asker(rangeId),
        });
    const told = events.toTell();
    if (figures.length + told.length > 0) tell(figures, told);
    await this.readProtections();
    const rows = await firstRange.scan(configurationSpan, scanTimeoutMs);
    if (rows === undefined || areSame(rows, this.configurationRows)) return;
    this.configurationRows = rows;
    const found = rows.flatMap(({ value }) => decodeConfigurationRow(value) ?? []);
    this.configurations = found.length === 0 ? noConfigurations : new RangeConfigurations(found);
  }

  private async readProtections(): Promise<void> {
    const { clock, firstRange } = this.options;
    const readAtMs = clock.wallMs();
    const rows = await firstRange.scan(protectionSpan, scanTimeoutMs);
    if (rows === undefined) return;
    const found = rows.flatMap((row) => decodeProtection(row) ?? []);
    this.protectedSnapshots = new ProtectedSnapshots(found, readAtMs);
  }
}

function areSame(some: readonly Row[], others: readonly Row[]): boolean {
  return (
    some.length === others.length &&
    some.every(({ value }, i) => {
      const other = others[i];
      return other !== undefined && equalBytes(value, other.value);
    })
  );
}
