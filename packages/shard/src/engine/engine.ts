/**
 * The ordered key-value engine below a store: state only, never the log. Two twins pass one conformance suite
 * (`../testing/engine-suite.ts`): LevelDB here, a B+ tree in `../testing`. Nothing above this folder knows LevelDB.
 *
 * The engine is a cache of the write-ahead log: a write that resolved is visible but not durable until `flush`. Any
 * rejected write or flush leaves it in an unknown state; it then refuses everything, and the process must end.
 */

export type EngineOperation =
  | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Buffer };

export interface EngineRow {
  readonly key: Buffer;
  readonly value: Buffer;
}

export interface EngineSpan {
  readonly startKey: Buffer;
  /** Exclusive. */
  readonly endKey: Buffer;
}

/** Reads the state as it was when `iterate` was called, whatever is written meanwhile. */
export interface EngineIterator {
  /** The next rows, at most `rowsMax` and about 256 KiB; [] at the end. One call outstanding. */
  next(rowsMax: number): Promise<readonly EngineRow[]>;
  /** Idempotent. Must be called. */
  close(): Promise<void>;
}

export interface Engine {
  /** Newest written value, or undefined. Synchronous: a few microseconds when cached. */
  get(key: Buffer): Buffer | undefined;
  /** Values of several keys at one instant, even while a write is landing. Synchronous. */
  getMany(keys: readonly Buffer[]): (Buffer | undefined)[];
  /** Takes its snapshot before it returns. */
  iterate(span: EngineSpan, options?: { readonly reverse?: boolean }): EngineIterator;
  /** All operations in order, atomically. Resolves when reads see them. At most one call outstanding, asserted:
   *  LevelDB may reorder concurrent batches. The operations' bytes may be reused after the call returned. */
  write(operations: readonly EngineOperation[]): Promise<void>;
  /** Everything written before the call is durable when it resolves. May overlap a write. */
  flush(): Promise<void>;
  /** Waits for what is outstanding. */
  close(): Promise<void>;
}
