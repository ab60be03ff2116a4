/** An ordered map of bytes in memory, on a B+ tree with cheap snapshots: what engines that keep no files are made of. */
import BTreeModule from 'sorted-btree';
import type { EngineIterator, EngineOperation, EngineRow, EngineSpan } from './engine.ts';

export type OrderedTree = BTreeModule.default<Buffer, Buffer>;
// The library is CommonJS, and its class sits one level deeper than a default import reaches.
const BTree: typeof BTreeModule.default = BTreeModule.default ?? BTreeModule;

/** Of one call of an iterator. Unit: bytes. */
const chunkBytes = 256 * 1024;

export function emptyTree(): OrderedTree {
  return new BTree<Buffer, Buffer>(undefined, Buffer.compare);
}

/** The caller may reuse its bytes once `Engine.write` has returned. */
export function copyOperations(operations: readonly EngineOperation[]): EngineOperation[] {
  return operations.map(
    (operation): EngineOperation =>
      operation.type === 'put'
        ? { type: 'put', key: Buffer.from(operation.key), value: Buffer.from(operation.value) }
        : { type: 'del', key: Buffer.from(operation.key) },
  );
}

export function applyToTree(tree: OrderedTree, operations: readonly EngineOperation[]): void {
  for (const operation of operations) {
    if (operation.type === 'put') tree.set(operation.key, operation.value);
    else tree.delete(operation.key);
  }
}

/** Reads the tree as it is now, whatever is written to it afterwards. */
export function iterateTree(now: OrderedTree, span: EngineSpan, reverse: boolean): EngineIterator {
  const tree = now.clone();
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
      for (let bytes = 0; rows.length < rowsMax && bytes < chunkBytes; ) {
        const row = step();
        if (row === undefined) break;
        bytes += row.key.length + row.value.length;
        rows.push(row);
      }
      return rows;
    },
    close: async () => {
      cursor = undefined;
    },
  };
}
