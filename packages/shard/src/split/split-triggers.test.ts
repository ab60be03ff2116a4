import {
  clientIdAt,
  present,
  SeededPrng,
  type Span,
  silentLogger,
  toRangeId,
  toStoreId,
} from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { describe, expect, it } from 'vitest';
import { RangeConfigurations } from '../protocol/range-configuration.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import type { Replica } from '../replica/replica.ts';
import { StorageSpace } from '../state/storage-keys.ts';
import { MemoryEngine } from '../testing/memory-engine.ts';
import { RangeLoad } from './range-load.ts';
import { measure, SplitTriggers, triggerWindowMs } from './split-triggers.ts';

const key = (n: number): Buffer => Buffer.of(0x08, n >> 8, n & 0xff);
const all = { startKey: Buffer.of(0x08), endKey: Buffer.of(0x09) };

describe('the middle of a range', () => {
  async function middleOf(sizes: readonly number[]) {
    const engine = new MemoryEngine();
    const space = new StorageSpace(7);
    await engine.write(
      sizes.map((size, n) => ({
        type: 'put' as const,
        key: space.dataKey(key(n)),
        value: Buffer.alloc(size),
      })),
    );
    return measure(engine, space, all);
  }

  it('is where half of the bytes are on either side', async () => {
    const sizes = Array.from({ length: 3000 }, (_, n) => (n < 1000 ? 3000 : 100));
    const { bytes, middle } = await middleOf(sizes);
    const at = Buffer.from(middle ?? []).readUInt16BE(1);
    const left = sizes.slice(0, at).reduce((sum, size) => sum + size, 0);
    expect(left / bytes).toBeGreaterThan(0.47);
    expect(left / bytes).toBeLessThan(0.53);
  });

  it('is the beginning of the second of two rows, and nowhere in one', async () => {
    expect((await middleOf([5000, 100])).middle).toEqual(key(1));
    expect((await middleOf([5000])).middle).toBeUndefined();
    expect(await middleOf([])).toEqual({ bytes: 0, middle: undefined });
  });
});

describe('what a range is asked', () => {
  const range = { rangeId: 3, ...all };
  function asked(keys: readonly Buffer[], windows = 2): RangeLoad {
    const load = new RangeLoad(new SeededPrng(1));
    for (let window = 0; window < windows; window++) {
      for (const each of keys) load.note(3, each, 'r0');
      load.endWindow(1000);
    }
    return load;
  }

  it('counts when it lasts for two windows, and no longer', () => {
    const keys = Array.from({ length: 500 }, (_, n) => key(n));
    expect(asked(keys, 1).steadyRate(3)).toBe(0);
    const load = asked(keys);
    expect(load.steadyRate(3)).toBe(500);
    load.endWindow(1000);
    expect(load.steadyRate(3)).toBe(0);
    expect(load.steadyRate(4)).toBe(0);
  });

  it('is asked by the store in whose process by far the most clients live', () => {
    const asker = (idOf: (n: number) => string, requests = 2000): number => {
      const load = new RangeLoad(new SeededPrng(1));
      for (let n = 0; n < requests; n++) load.note(3, key(n), idOf(n >> 4));
      load.endWindow(1000);
      return load.asker(3);
    };
    const two = clientIdAt('rabc', toStoreId(2));
    expect(asker(() => two)).toBe(2);
    expect(asker((n) => (n % 10 === 0 ? 'rxyz' : two))).toBe(2);
    expect(asker((n) => (n % 2 === 0 ? clientIdAt('rabc', toStoreId(1)) : two))).toBe(0);
    expect(asker(() => 'rxyz')).toBe(0);
    expect(asker(() => two, 100)).toBe(0);
    const idle = new RangeLoad(new SeededPrng(1));
    expect(idle.asker(3)).toBe(0);
  });

  it('is divided by a key with enough on both sides', () => {
    const keys = Array.from({ length: 4000 }, (_, n) => key((n * 7919) % 1000));
    const at = Buffer.from(asked(keys).dividingKey(range) ?? []).readUInt16BE(1);
    expect(at).toBeGreaterThan(250);
    expect(at).toBeLessThan(750);
  });

  it('is not divided if one key is all they want, or hardly more', () => {
    expect(asked(Array.from({ length: 500 }, () => key(5))).dividingKey(range)).toBeUndefined();
    const most = Array.from({ length: 500 }, (_, n) => key(n % 50 === 0 ? 1 : 5));
    expect(asked(most).dividingKey(range)).toBeUndefined();
    expect(asked([]).dividingKey(range)).toBeUndefined();
  });
});

describe('a range under many wishes', () => {
  /** Replicas that this store leads, and a clock. Each cut takes 10 ms; `refusals` of them are not possible now. */
  class World {
    readonly clock = new ManualClock();
    readonly replicas = new Map<number, Replica>();
    readonly triggers: SplitTriggers;
    cuts = 0;
    refusals = 0;

    constructor(tables: number) {
      const wishes = Array.from({ length: tables }, (_, n) => ({
        ...{ startKey: key(2 * n), endKey: key(2 * n + 1), replicas: 5 },
      }));
      const configurations = new RangeConfigurations(wishes);
      this.add(all);
      this.triggers = new SplitTriggers({
        ...{ clock: this.clock, logger: silentLogger, engine: new MemoryEngine() },
        ...{ replicas: this.replicas, load: new RangeLoad(new SeededPrng(1)) },
        ...{ bytesMax: 0, requestsPerSecondMax: 0, configurations: () => configurations },
        onFatal: (error) => {
          throw error;
        },
        split: async (replica, at) => {
          await new Promise<void>((resolve) => void this.clock.setTimer(10, resolve));
          if (this.refusals > 0) {
            this.refusals--;
            return { kind: 'notNow', reason: 'its members are changing' };
          }
          this.cuts++;
          const { startKey, endKey } = replica.descriptor;
          const left = this.add({ startKey, endKey: at }, replica.rangeId);
          return { kind: 'done', left, right: this.add({ startKey: at, endKey }) };
        },
      });
      this.triggers.start();
    }

    async runUntil(isSo: () => boolean): Promise<void> {
      while (!isSo()) {
        expect(this.clock.nowMs()).toBeLessThan(1_000_000);
        this.clock.advance(10);
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    }

    private add(span: Span, id = this.replicas.size + 1): RangeDescriptor {
      const rangeId = toRangeId(id);
      const descriptor = { ...span, rangeId, generation: 1, replicas: [], nextReplicaId: 1 };
      const leaseholder = { isReady: true };
      const replica = { rangeId, descriptor, leaseholder, liveBytes: 0, isRemoved: false };
      this.replicas.set(id, replica as unknown as Replica);
      return present(this.replicas.get(id), 'the range').descriptor;
    }
  }

  it('is cut at all of them one after the other, in halves', async () => {
    const world = new World(500);
    await world.runUntil(() => world.cuts === 1000);
    // A cut takes 10 ms, and ten looks find more to cut.
    expect(world.clock.nowMs()).toBeLessThan(triggerWindowMs + 20_000);
    await world.runUntil(() => world.clock.nowMs() > 100_000);
    expect(world.cuts).toBe(1000);
    world.triggers.stop();
  });

  it('is tried again soon where it cannot be cut now', async () => {
    const world = new World(1);
    world.refusals = 2;
    await world.runUntil(() => world.cuts > 0);
    expect(world.clock.nowMs()).toBeLessThan(3 * triggerWindowMs + 100);
    world.triggers.stop();
  });
});
