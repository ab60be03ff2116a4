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
import { flotilla } from '../../gen/kv.js';
import { RangeConfigurations } from '../protocol/range-configuration.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import type { Replica } from '../replica/replica.ts';
import { StorageSpace } from '../state/storage-keys.ts';
import { encodeStored } from '../state/stored-value.ts';
import { MemoryEngine } from '../testing/memory-engine.ts';
import { measure } from './measure.ts';
import { RangeLoad } from './range-load.ts';
import { noteRequest, scanWorkOf } from './request-work.ts';
import { SplitTriggers, triggerWindowMs } from './split-triggers.ts';

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
    const { liveBytes: bytes, middle } = await middleOf(sizes);
    const at = Buffer.from(middle ?? []).readUInt16BE(1);
    const left = sizes.slice(0, at).reduce((sum, size) => sum + size, 0);
    expect(left / bytes).toBeGreaterThan(0.47);
    expect(left / bytes).toBeLessThan(0.53);
  });

  it('is the beginning of the second of two rows, and nowhere in one', async () => {
    expect((await middleOf([5000, 100])).middle).toEqual(key(1));
    expect((await middleOf([5000])).middle).toBeUndefined();
    expect(await middleOf([])).toEqual({ liveBytes: 0, historyBytes: 0, middle: undefined });
  });

  it('counts old versions, on the side of their key, also of keys that are gone', async () => {
    const engine = new MemoryEngine();
    const space = new StorageSpace(7);
    const old = encodeStored(key(0), 1, Buffer.alloc(1000));
    await engine.write([
      ...Array.from({ length: 100 }, (_, n) => ({
        type: 'put' as const,
        key: space.dataKey(key(n)),
        value: Buffer.alloc(10),
      })),
      // The 90th row was written again and again; the 200th is gone.
      ...Array.from({ length: 20 }, (_, n) => ({
        type: 'put' as const,
        key: space.historyKey(key(90), 10 + n),
        value: old,
      })),
      ...Array.from({ length: 20 }, (_, n) => ({
        type: 'put' as const,
        key: space.historyKey(key(200), 10 + n),
        value: old,
      })),
    ]);
    const { liveBytes, historyBytes, middle } = await measure(engine, space, all);
    expect(liveBytes).toBe(100 * 13);
    expect(historyBytes).toBe(40 * (3 + old.length));
    const at = Buffer.from(middle ?? []).readUInt16BE(1);
    expect(at).toBeGreaterThan(90);
    expect(at).toBeLessThanOrEqual(200);
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

  it('is not divided where new keys are always the greatest: the right side would be as hot as the whole', () => {
    const load = new RangeLoad(new SeededPrng(1));
    for (let n = 0; n < 8000; n++) {
      load.note(3, key(n), 'r0');
      if (n % 2000 === 1999) load.endWindow(1000);
    }
    expect(load.steadyRate(3)).toBe(2000);
    expect(load.dividingKey(range)).toBeUndefined();
  });

  it('weighs what is done, and knows keys of every kind of request', () => {
    type Body = Parameters<typeof flotilla.kv.Request.create>[0];
    const after = (body: Body, times: number): RangeLoad => {
      const load = new RangeLoad(new SeededPrng(1));
      const request = flotilla.kv.Request.create({ rangeId: 3, ...body });
      for (let window = 0; window < 2; window++) {
        for (let time = 0; time < times; time++) noteRequest(load, request, 'r0');
        load.endWindow(1000);
      }
      return load;
    };
    const keys = Array.from({ length: 41 }, (_, n) => key(n));
    const rows = keys.map((each) => ({ key: each }));
    const one = after({ get: { keys: [key(5)] } }, 100);
    expect(one.rate(3)).toBe(100);
    expect(one.dividingKey(range)).toBeUndefined();
    for (const [body, weight] of [
      [{ get: { keys } }, 6],
      [{ write: { mutations: rows } }, 11],
      [{ write: { conditions: rows } }, 11],
      [{ prepare: { mutations: rows } }, 11],
    ] as const) {
      const load = after(body, 100);
      expect(load.rate(3)).toBeCloseTo(100 * weight);
      const at = Buffer.from(load.dividingKey(range) ?? []).readUInt16BE(1);
      expect(at).toBeGreaterThan(8);
      expect(at).toBeLessThan(33);
    }
    const decided = after({ decide: { anchorKey: key(1) } }, 100);
    expect(decided.rate(3)).toBe(100);
  });

  it('is more for a scan of many rows, which lie where they lie', () => {
    const load = new RangeLoad(new SeededPrng(1));
    for (let window = 0; window < 2; window++) {
      for (let scan = 0; scan < 100; scan++) {
        const work = scanWorkOf(load, 3, 'r0');
        for (let n = 0; n < 1000; n++) work.add(key(n), 20);
        work.end();
        work.end();
      }
      load.endWindow(1000);
    }
    expect(load.rate(3)).toBeCloseTo((100 * 1000) / 32);
    const at = Buffer.from(load.dividingKey(range) ?? []).readUInt16BE(1);
    expect(at).toBeGreaterThan(300);
    expect(at).toBeLessThan(700);
    const large = scanWorkOf(load, 4, 'r0');
    for (let n = 0; n < 16; n++) large.add(key(n), 16 * 1024);
    large.end();
    load.endWindow(1000);
    expect(load.rate(4)).toBe(16);
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
      const replica = { rangeId, descriptor, leaseholder, storedBytes: 0, isRemoved: false };
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
