/** An engine that keeps nothing: state in this process's memory, for stores that are to leave no files behind. */
import { assert } from '@flotilla/base';
import type { Engine, EngineIterator, EngineOperation, EngineSpan } from './engine.ts';
import { applyToTree, copyOperations, emptyTree, iterateTree } from './ordered-tree.ts';

export class VolatileEngine implements Engine {
  private readonly tree = emptyTree();
  private writing = false;
  private closed = false;

  get(key: Buffer): Buffer | undefined {
    this.assertOpen();
    return this.tree.get(key);
  }

  getMany(keys: readonly Buffer[]): (Buffer | undefined)[] {
    return keys.map((key) => this.get(key));
  }

  iterate(span: EngineSpan, options: { readonly reverse?: boolean } = {}): EngineIterator {
    this.assertOpen();
    return iterateTree(this.tree, span, options.reverse === true);
  }

  async write(operations: readonly EngineOperation[]): Promise<void> {
    this.assertOpen();
    assert(!this.writing, 'one engine write at a time');
    this.writing = true;
    const copies = copyOperations(operations);
    await Promise.resolve();
    this.writing = false;
    applyToTree(this.tree, copies);
  }

  /** What is written is as durable as it will ever be. */
  async flush(): Promise<void> {
    this.assertOpen();
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  private assertOpen(): void {
    assert(!this.closed, 'the engine is open');
  }
}
