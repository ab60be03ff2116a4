/**
 * Deletes what no range refers to any more, in the background: the rows of replicas that were removed or replaced by a
 * snapshot, and of snapshots that were given up. Ranges that arose from one another share a storage id, each with its
 * span: what one leaves behind is its span, never more. Bounded batches, one span at a time. Remembers nothing: what a
 * crash leaves is found again when the store opens.
 */
import type { Span } from '@flotilla/base';
import type { Engine, EngineSpan } from '../engine/engine.ts';
import type { EngineTurns } from '../engine/engine-turns.ts';
import { StorageSpace, spansOfStorage } from '../state/storage-keys.ts';

/** Keys under a storage id that belong to no range, or the whole of it. */
export interface UnusedStorage {
  readonly storageId: number;
  /** Undefined: everything. */
  readonly span: Span | undefined;
}

export interface StorageReclaimerOptions {
  readonly engine: Engine;
  readonly turns: EngineTurns;
  readonly rowsPerStep: number;
  readonly isStopping: () => boolean;
  readonly onFatal: (error: unknown) => void;
}

export class StorageReclaimer {
  private readonly options: StorageReclaimerOptions;
  private readonly queue: UnusedStorage[] = [];
  private running = false;

  constructor(options: StorageReclaimerOptions) {
    this.options = options;
  }

  /** Something is still to be deleted. */
  get isBusy(): boolean {
    return this.running;
  }

  /** Nothing refers to this now, or ever again. */
  reclaim(unused: UnusedStorage): void {
    this.queue.push(unused);
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
    for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift())
      for (const span of engineSpansOf(next)) await this.clear(span);
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

function engineSpansOf({ storageId, span }: UnusedStorage): readonly EngineSpan[] {
  if (span === undefined) return spansOfStorage(storageId);
  return new StorageSpace(storageId).spansOf(span.startKey, span.endKey);
}
