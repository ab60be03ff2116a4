/**
 * An engine whose calls take time, over `MemoryEngine`: a write becomes visible at some moment before its promise
 * resolves, as LevelDB's do. Belongs to one life of a process; what a dead one began never lands.
 */
import { assert, type Prng } from '@flotilla/base';
import type { Engine, EngineIterator, EngineOperation, EngineSpan } from '@flotilla/shard';
import type { MemoryEngine } from '@flotilla/shard/testing';
import type { Host } from './host.ts';

export class SlowEngine implements Engine {
  private readonly inner: MemoryEngine;
  private readonly host: Host;
  private readonly prng: Prng;
  private readonly delayMsMax: number;
  private writing = false;

  constructor(options: {
    readonly inner: MemoryEngine;
    readonly host: Host;
    readonly prng: Prng;
    /** Of a call, uniform. 0: as fast as promises. */
    readonly delayMsMax: number;
  }) {
    this.inner = options.inner;
    this.host = options.host;
    this.prng = options.prng;
    this.delayMsMax = options.delayMsMax;
  }

  get(key: Buffer): Buffer | undefined {
    return this.inner.get(key);
  }

  getMany(keys: readonly Buffer[]): (Buffer | undefined)[] {
    return this.inner.getMany(keys);
  }

  iterate(span: EngineSpan, options?: { readonly reverse?: boolean }): EngineIterator {
    const iterator = this.inner.iterate(span, options);
    return {
      next: async (rowsMax) => {
        await this.pause();
        return iterator.next(rowsMax);
      },
      close: () => iterator.close(),
    };
  }

  async write(operations: readonly EngineOperation[]): Promise<void> {
    assert(!this.writing, 'one engine write at a time');
    this.writing = true;
    // The caller may reuse its bytes once this call has returned.
    const copies = operations.map(
      (operation): EngineOperation =>
        operation.type === 'put'
          ? { type: 'put', key: Buffer.from(operation.key), value: Buffer.from(operation.value) }
          : { type: 'del', key: Buffer.from(operation.key) },
    );
    try {
      await this.pause();
      await this.inner.write(copies);
      await this.pause();
    } finally {
      this.writing = false;
    }
  }

  async flush(): Promise<void> {
    if (this.prng.nextBelow(2) === 0) await this.pause();
    await this.inner.flush();
    await this.pause();
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  private pause(): Promise<void> {
    if (this.delayMsMax <= 0) return Promise.resolve();
    return new Promise((resolve) =>
      this.host.deliver('disk', resolve, { delayMs: this.prng.nextFloat() * this.delayMsMax }),
    );
  }
}
