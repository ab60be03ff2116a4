/**
 * Deletes what no range refers to any more, in the background: the rows of replicas that were removed or replaced by a
 * snapshot, and of snapshots that were given up. Bounded batches, one storage at a time. Remembers nothing: what a crash
 * leaves is found again when the store opens.
 */
import type { Engine, EngineSpan } from '../engine/engine.ts';
import type { EngineTurns } from '../engine/engine-turns.ts';
import { spansOfStorage } from '../state/storage-keys.ts';

export interface StorageReclaimerOptions {
  readonly engine: Engine;
  readonly turns: EngineTurns;
  readonly rowsPerStep: number;
  readonly isStopping: () => boolean;
  readonly onFatal: (error: unknown) => void;
}

export class StorageReclaimer {
  private readonly options: StorageReclaimerOptions;
  private readonly queue: number[] = [];
  private running = false;

  constructor(options: StorageReclaimerOptions) {
    this.options = options;
  }

  /** Nothing refers to this storage id now, or ever again. */
  reclaim(storageId: number): void {
    this.queue.push(storageId);
    if (this.running) return;
    this.running = true;
    this.run()
      .catch((error: unknown) => {
        if (!this.options.isStopping()) this.options.onFatal(error);
      })
      .finally(() => {
        this.running = false;
      });
  }

  private async run(): Promise<void> {
    for (let id = this.queue.shift(); id !== undefined; id = this.queue.shift())
      for (const span of spansOfStorage(id)) await this.clear(span);
  }

  private async clear(span: EngineSpan): Promise<void> {
    const { engine, turns, rowsPerStep, isStopping } = this.options;
    if (isStopping()) return;
    const iterator = engine.iterate(span);
    try {
      while (!isStopping()) {
        const rows = await iterator.next(rowsPerStep);
        if (rows.length === 0) break;
        await turns.write(() => rows.map(({ key }) => ({ type: 'del', key })));
      }
    } finally {
      await iterator.close();
    }
  }
}
