/**
 * Flush points. The order is what makes them safe: note where every range stands and write that down beside the data,
 * force the engine's memory to disk, and only then tell the log, which may now forget what came before. A crash between
 * any two steps leaves the previous checkpoint in force.
 */
import { type HybridLogicalClock, type LogIndex, type RangeId, toLogIndex } from '@flotilla/base';
import type { Engine, EngineOperation } from '../engine/engine.ts';
import type { EngineTurns } from '../engine/engine-turns.ts';
import type { Replica } from '../replica/replica.ts';
import { rangeCheckpointRow } from '../state/range-checkpoint.ts';
import { rangeRowKey } from '../state/storage-keys.ts';
import type { OneAtATime } from './one-at-a-time.ts';

export interface CheckpointerOptions {
  readonly engine: Engine;
  readonly turns: EngineTurns;
  /** Positions may be taken; if not, when to ask again. */
  readonly applied: { readonly isWhole: boolean; whenWhole(): Promise<void> };
  /** Every replica whose log is here, those on their way out included. */
  readonly replicas: { values(): Iterable<Replica> };
  readonly hlc: HybridLogicalClock;
  /** Writes the checkpoint to the log. */
  readonly commit: (
    applied: ReadonlyMap<RangeId, LogIndex>,
    hlcUpperBound: number,
  ) => Promise<void>;
  /** Notes the checkpoint outside the log. */
  readonly remember: (hlcUpperBound: number) => Promise<void>;
  /** The checkpoint is in force: it has these ranges, as of these indexes. */
  readonly onTaken: (applied: ReadonlyMap<RangeId, LogIndex>) => void;
  /** Position of the checkpoint in force, by range. */
  readonly checkpointed: ReadonlyMap<RangeId, number>;
  /** Keeps checkpoints apart from what else moves positions. */
  readonly oneAtATime: OneAtATime;
}

export class Checkpointer {
  private readonly options: CheckpointerOptions;
  private readonly checkpointed: Map<RangeId, number>;
  private running: Promise<void> | undefined;

  constructor(options: CheckpointerOptions) {
    this.options = options;
    this.checkpointed = new Map(options.checkpointed);
  }

  /** Takes a checkpoint as part of something that has its turn already. Rejections are fatal. */
  takeNow(): Promise<void> {
    return this.take();
  }

  /** Takes a checkpoint, or joins the one that is under way. Rejections are fatal. */
  run(): Promise<void> {
    this.running ??= this.options.oneAtATime
      .run(() => this.take())
      .finally(() => {
        this.running = undefined;
      });
    return this.running;
  }

  /**
   * The log itself moved a range: to the index of a snapshot, or out of this store (undefined). Only while no checkpoint
   * is being taken.
   * @returns where it was: the position of the row that now is obsolete
   */
  moved(rangeId: RangeId, index: number | undefined): number | undefined {
    const before = this.checkpointed.get(rangeId);
    if (index === undefined) this.checkpointed.delete(rangeId);
    else this.checkpointed.set(rangeId, index);
    return before;
  }

  get isRunning(): boolean {
    return this.running !== undefined;
  }

  private async take(): Promise<void> {
    const { engine, turns, hlc } = this.options;
    const applied = new Map<RangeId, LogIndex>();
    const replaced: Buffer[] = [];
    for (let taken = false; !taken; ) {
      await this.options.applied.whenWhole();
      await turns.write(() => {
        taken = this.options.applied.isWhole;
        return taken ? this.collect(applied, replaced) : [];
      });
    }
    await engine.flush();
    const upperBound = hlc.now();
    await this.options.commit(applied, upperBound);
    for (const [rangeId, index] of applied) this.checkpointed.set(rangeId, index);
    this.options.onTaken(applied);
    await this.options.remember(upperBound);
    await turns.write(() => replaced.map((key) => ({ type: 'del', key })));
  }

  private collect(applied: Map<RangeId, LogIndex>, replaced: Buffer[]): EngineOperation[] {
    const rows: EngineOperation[] = [];
    for (const replica of this.options.replicas.values()) {
      const { rangeId, appliedIndex } = replica;
      applied.set(rangeId, toLogIndex(appliedIndex));
      const before = this.checkpointed.get(rangeId);
      if (before === appliedIndex) continue;
      rows.push(rangeCheckpointRow(replica.state()));
      if (before !== undefined) replaced.push(rangeRowKey(rangeId, before));
    }
    return rows;
  }
}
