/**
 * The engine in memory, on a B+ tree with cheap snapshots. `crash` gives the engine that a machine would find after
 * power loss: all that was flushed, and of the rest an arbitrary part, with holes, as LevelDB's unsynced log may leave.
 */
import { assert, type Prng } from '@flotilla/base';
import BTreeModule from 'sorted-btree';
import type {
  Engine,
  EngineIterator,
  EngineOperation,
  EngineRow,
  EngineSpan,
} from '../engine/engine.ts';

type Tree = BTreeModule.default<Buffer, Buffer>;
// The library is CommonJS, and its class sits one level deeper than a default import reaches.
const BTree: typeof BTreeModule.default = BTreeModule.default ?? BTreeModule;

function emptyTree(): Tree {
  return new BTree<Buffer, Buffer>(undefined, Buffer.compare);
}

export class MemoryEngine implements Engine {
  private tree: Tree;
  private durable: Tree;
  private unflushed: (readonly EngineOperation[])[] = [];
  private writing = false;
  private closed = false;
  private crashed = false;
  private failure: Error | undefined;

  constructor(tree: Tree = emptyTree()) {
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
    const tree = this.tree.clone();
    const reverse = options.reverse === true;
    let cursor: Buffer | undefined = reverse ? span.endKey : span.startKey;
    let first = true;
    const step = (): EngineRow | undefined => {
      if (cursor === undefined) return undefined;
      const pair: [Buffer, Buffer] | undefined = reverse
        ? tree.nextLowerPair(cursor)
        : first
          ? tree.getPairOrNextHigher(cursor)
          : tree.nextHigherPair(cursor);
      first = false;
      cursor = pair?.[0];
      if (pair === undefined) return undefined;
      const [key, value] = pair;
      if (Buffer.compare(key, span.startKey) < 0 || Buffer.compare(key, span.endKey) >= 0) {
        cursor = undefined;
        return undefined;
      }
      return { key, value };
    };
    return {
      next: async (rowsMax) => {
        await Promise.resolve();
        const rows: EngineRow[] = [];
        while (rows.length < rowsMax) {
          const row = step();
          if (row === undefined) break;
          rows.push(row);
        }
        return rows;
      },
      close: async () => {
        cursor = undefined;
      },
    };
  }

  async write(operations: readonly EngineOperation[]): Promise<void> {
    this.assertOpen();
    assert(!this.writing, 'one engine write at a time');
    this.onOperation();
    this.writing = true;
    // The caller may reuse its bytes once this call has returned.
    const copies = operations.map(
      (operation): EngineOperation =>
        operation.type === 'put'
          ? { type: 'put', key: Buffer.from(operation.key), value: Buffer.from(operation.value) }
          : { type: 'del', key: Buffer.from(operation.key) },
    );
    await Promise.resolve();
    await this.whileAlive();
    this.writing = false;
    if (this.failure !== undefined) throw this.failure;
    applyTo(this.tree, copies);
    this.unflushed.push(copies);
  }

  async flush(): Promise<void> {
    this.assertOpen();
    this.onOperation();
    const upTo = this.unflushed.length;
    await Promise.resolve();
    await this.whileAlive();
    if (this.failure !== undefined) throw this.failure;
    for (const operations of this.unflushed.splice(0, upTo)) applyTo(this.durable, operations);
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
      if (prng.nextBelow(2) === 0) applyTo(survived, operations);
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

function applyTo(tree: Tree, operations: readonly EngineOperation[]): void {
  for (const operation of operations) {
    if (operation.type === 'put') tree.set(operation.key, operation.value);
    else tree.delete(operation.key);
  }
}
