/**
 * Statistics that follow the rows: a table of which this process has changed a good part is analyzed, behind everybody's
 * back, by PostgreSQL's rule of when. Other processes count their own changes; whoever comes second sees that it has been done.
 */
import type { Clock, Logger, Prng, Timer } from '@flotilla/base';
import type { Catalog } from '../catalog/catalog.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { TableStatistics } from '../catalog/statistics.ts';
import { isTemporarySchema } from '../catalog/temporary-schema.ts';
import type { KvDatabase } from '../kv-transaction.ts';
import { analyzeQuietly } from './analyze.ts';
import { Pace } from './run.ts';

/** autovacuum_naptime, autovacuum_analyze_threshold and autovacuum_analyze_scale_factor: PostgreSQL's defaults. */
export const defaultNaptimeMs: number = 60_000;
const changesLeast = 50;
const changesShare = 0.1;

export interface AutoAnalyzeOptions {
  readonly database: KvDatabase;
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
  /** How long changes rest before they are looked at. Unit: ms. */
  readonly naptimeMs: number;
}

function leastChanges(known: TableStatistics | undefined): number {
  return changesLeast + changesShare * (known?.rows ?? 0);
}

export class AutoAnalyze {
  private readonly options: AutoAnalyzeOptions;
  /** Rows that were written since the table was analyzed last, by its id. */
  private readonly changes = new Map<number, number>();
  private readonly stop = new AbortController();
  private timer: Timer | undefined;
  private working: Promise<void> = Promise.resolve();

  constructor(options: AutoAnalyzeOptions) {
    this.options = options;
  }

  /** A statement has written so many rows to one of these tables, or to all of them. */
  note(tables: Iterable<{ readonly table: TableDescriptor }>, rows: number): void {
    if (rows === 0 || this.stop.signal.aborted) return;
    for (const { table } of tables)
      if (!isTemporarySchema(table.schema))
        this.changes.set(table.id, (this.changes.get(table.id) ?? 0) + rows);
    this.schedule();
  }

  /** What is under way is given up. */
  async close(): Promise<void> {
    this.stop.abort();
    this.timer?.cancel();
    this.changes.clear();
    await this.working;
  }

  private schedule(): void {
    if (this.timer !== undefined || this.changes.size === 0 || this.stop.signal.aborted) return;
    const { clock, prng, naptimeMs } = this.options;
    // Several processes that were started together do not look together.
    this.timer = clock.setTimer(naptimeMs * (0.75 + prng.nextFloat() / 2), () => {
      this.working = this.work().finally(() => {
        this.timer = undefined;
        this.schedule();
      });
    });
  }

  private async work(): Promise<void> {
    const { logger } = this.options;
    for (const [id, changed] of [...this.changes])
      try {
        await this.look(id, changed);
      } catch (error) {
        if (this.stop.signal.aborted) return;
        // Its changes are still counted.
        logger.warn({ table: id, error: String(error) }, 'auto_analyze_failed');
      }
  }

  private async look(id: number, changed: number): Promise<void> {
    const { catalog, clock, naptimeMs } = this.options;
    const before = catalog.snapshot.statisticsOf(id);
    if (changed < leastChanges(before)) return;
    // Somebody else may have looked meanwhile, or dropped it.
    await catalog.loadNewest();
    const snapshot = await catalog.loadStatistics();
    const table = snapshot.table(id);
    if (table === undefined) {
      this.changes.delete(id);
      return;
    }
    const known = snapshot.statisticsOf(id);
    const isRecent = known?.at !== undefined && clock.wallMs() - known.at < naptimeMs / 2;
    if (!isRecent)
      await analyzeQuietly(table, { ...this.options, pace: new Pace(clock, this.stop.signal) });
    this.changes.set(id, (this.changes.get(id) ?? changed) - changed);
    if ((this.changes.get(id) ?? 0) <= 0) this.changes.delete(id);
  }
}
