/**
 * The engine in memory, on a B+ tree with cheap snapshots. `crash` gives the engine that a machine would find after
 * power loss: all that was flushed, and of the rest an arbitrary part, with holes, as LevelDB's unsynced log may leave.
 */
import { assert, type Prng } from '@flotilla/base';
import type {
  Engine,
  EngineIterator,
  EngineOperation,
  EngineRow,
  EngineSpan,
} from '../engine/engine.ts';
import {
  applyToTree,
  copyOperations,
  emptyTree,
  iterateTree,
  type OrderedTree,
} from '../engine/ordered-tree.ts';

export class MemoryEngine implements Engine {
  private tree: OrderedTree;
  private durable: OrderedTree;
  private unflushed: (readonly EngineOperation[])[] = [];
  private writing = false;
  private closed = false;
  private crashed = false;
  private failure: Error | undefined;

  constructor(tree: OrderedTree = emptyTree()) {
    this.tree = tree;
    this.durable = tree.clone();
  }

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
    this.onOperation();
    this.writing = true;
    const copies = copyOperations(operations);
    await Promise.resolve();
    await this.whileAlive();
    this.writing = false;
    if (this.failure !== undefined) throw this.failure;
    applyToTree(this.tree, copies);
    this.unflushed.push(copies);
  }

  async flush(): Promise<void> {
    this.assertOpen();
    this.onOperation();
    const upTo = this.unflushed.length;
    await Promise.resolve();
    await this.whileAlive();
    if (this.failure !== undefined) throw this.failure;
    for (const operations of this.unflushed.splice(0, upTo)) applyToTree(this.durable, operations);
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  /** Every later write and flush rejects with `error`. */
  failWith(error: Error): void {
    this.failure = error;
  }

  /** What a restart finds after power loss. This engine is dead afterwards. */
  crash(prng: Prng): MemoryEngine {
    this.crashed = true;
    const survived = this.durable.clone();
    for (const operations of this.unflushed)
      if (prng.nextBelow(2) === 0) applyToTree(survived, operations);
    return new MemoryEngine(survived);
  }

  /** What a restart finds after the end of the process on a machine that lives on. */
  reopen(): MemoryEngine {
    this.crashed = true;
    return new MemoryEngine(this.tree.clone());
  }

  /** All rows, or those of a span, in order. For comparing states. */
  rows(span?: EngineSpan): readonly EngineRow[] {
    if (span === undefined) return this.tree.toArray().map(([key, value]) => ({ key, value }));
    const rows: EngineRow[] = [];
    this.tree.forRange(span.startKey, span.endKey, false, (key, value) => {
      rows.push({ key, value });
    });
    return rows;
  }

  /** What a copy of its files holds, taken while it runs. */
  copy(): MemoryEngine {
    return new MemoryEngine(this.tree.clone());
  }

  /** Called at the beginning of every write and flush: where a test may crash the machine. */
  onOperation: () => void = () => {};

  /** Overwrites one row behind the engine's back, as rot would. */
  tamper(key: Buffer, value: Buffer | undefined): void {
    if (value === undefined) this.tree.delete(key);
    else this.tree.set(key, value);
  }

  /** A call that a crash overtook never returns: its process is dead. */
  private whileAlive(): Promise<void> {
    return this.crashed ? new Promise(() => {}) : Promise.resolve();
  }

  private assertOpen(): void {
    assert(!this.closed, 'the engine is open');
  }
}
