/**
 * Forgets old versions: a slow walk round the history key space that deletes, a bounded step at a time, what was
 * superseded before a horizon: longer ago than the time to live, and before any snapshot that is kept. Local to the store; replaying the log may bring rows back, and the next
 * round takes them again. Speeds up while most of what it sees is garbage.
 */
import { type Clock, keySuccessor, type Timer } from '@flotilla/base';
import type { Engine, EngineRow } from '../engine/engine.ts';
import type { EngineTurns } from '../engine/engine-turns.ts';
import { allHistory, supersededAtOf } from '../state/storage-keys.ts';

export interface HistorySweeperOptions {
  readonly engine: Engine;
  readonly turns: EngineTurns;
  readonly clock: Clock;
  /** What was replaced before this timestamp may go. */
  readonly horizon: () => number;
  readonly rowsPerStep: number;
  /** These rows are deleted. In the order of their keys. */
  readonly onForgotten: (rows: readonly EngineRow[]) => void;
  readonly onFatal: (error: unknown) => void;
}

/** Between steps of a round that finds little, between steps that find much, and between rounds. Unit: ms. */
const calmStepMs = 1000;
const busyStepMs = 50;
const roundPauseMs = 30_000;

export class HistorySweeper {
  private readonly options: HistorySweeperOptions;
  private cursor: Buffer = allHistory.startKey;
  private timer: Timer | undefined;
  private stopped = false;

  constructor(options: HistorySweeperOptions) {
    this.options = options;
  }

  start(): void {
    this.schedule(roundPauseMs);
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  /** One bounded step. @returns rows looked at and deleted */
  async step(): Promise<{ readonly seen: number; readonly deleted: number }> {
    const { engine, turns, rowsPerStep } = this.options;
    const horizon = this.options.horizon();
    const iterator = engine.iterate({ startKey: this.cursor, endKey: allHistory.endKey });
    const garbage: EngineRow[] = [];
    let seen = 0;
    let last: Buffer | undefined;
    try {
      while (seen < rowsPerStep) {
        const rows = await iterator.next(Math.min(500, rowsPerStep - seen));
        if (rows.length === 0) break;
        for (const row of rows) if (supersededAtOf(row.key) < horizon) garbage.push(row);
        seen += rows.length;
        last = rows.at(-1)?.key;
      }
    } finally {
      await iterator.close();
    }
    this.cursor =
      seen < rowsPerStep || last === undefined
        ? allHistory.startKey
        : Buffer.from(keySuccessor(last));
    if (garbage.length > 0 && !this.stopped) {
      await turns.write(() => garbage.map(({ key }) => ({ type: 'del', key })));
      this.options.onForgotten(garbage);
    }
    return { seen, deleted: garbage.length };
  }

  private schedule(delayMs: number): void {
    if (this.stopped) return;
    this.timer = this.options.clock.setTimer(delayMs, () => {
      this.step().then(
        ({ seen, deleted }) => {
          const full = seen >= this.options.rowsPerStep;
          this.schedule(full ? (deleted * 2 > seen ? busyStepMs : calmStepMs) : roundPauseMs);
        },
        (error: unknown) => {
          if (!this.stopped) this.options.onFatal(error);
        },
      );
    });
  }
}
