/**
 * Who may write to the engine now. Applying, checkpoints and the history sweep take turns, so that one write at most is
 * outstanding and each sees the state that the one before it left.
 */
import type { Engine, EngineOperation } from './engine.ts';

export class EngineTurns {
  private last: Promise<unknown> = Promise.resolve();
  private readonly engine: Engine;

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /**
   * Writes what `collect` returns, when everybody before has written; `collect` runs at that moment, synchronously.
   * @returns when reads see it; rejects as the engine does
   */
  write(collect: () => readonly EngineOperation[]): Promise<void> {
    const turn = this.last.then(async () => {
      const operations = collect();
      if (operations.length > 0) await this.engine.write(operations);
    });
    // A failed turn is its caller's to report; those behind it fail on the broken engine by themselves.
    this.last = turn.catch(() => {});
    return turn;
  }

  /** When all turns taken so far are over. */
  settled(): Promise<unknown> {
    return this.last;
  }
}
