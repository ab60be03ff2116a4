import { expect, it } from 'vitest';
import type { Engine, EngineIterator, EngineOperation } from '../engine/engine.ts';
import { StorageSpace } from '../state/storage-keys.ts';
import { encodeStored } from '../state/stored-value.ts';
import { MemoryEngine } from '../testing/memory-engine.ts';
import { VersionScan } from './version-scan.ts';

const space = new StorageSpace(1);
const snapshot = 100;
const keyOf = (n: number): Buffer => Buffer.from(`k${String(n).padStart(5, '0')}`);

/** Counts what is read. */
function counted(engine: Engine): { engine: Engine; iterators: number; rows: number } {
  const counts = {
    engine: {
      ...engine,
      get: (key: Buffer) => engine.get(key),
      iterate: (...of: Parameters<Engine['iterate']>): EngineIterator => {
        counts.iterators++;
        const iterator = engine.iterate(...of);
        return {
          next: async (rowsMax) => {
            const rows = await iterator.next(rowsMax);
            counts.rows += rows.length;
            return rows;
          },
          close: () => iterator.close(),
        };
      },
    } as Engine,
    iterators: 0,
    rows: 0,
  };
  return counts;
}

const put = (key: Buffer, timestamp: number): EngineOperation => ({
  type: 'put',
  key: space.dataKey(key),
  value: encodeStored(key, timestamp, Buffer.from(`v${timestamp}`)),
});

/** The version of `timestamp` was replaced at `supersededAt`. */
const old = (key: Buffer, timestamp: number, supersededAt: number): EngineOperation => ({
  type: 'put',
  key: space.historyKey(key, supersededAt),
  value: encodeStored(key, timestamp, Buffer.from(`v${timestamp}`)),
});

async function scan(engine: Engine, reverse: boolean): Promise<string[]> {
  const result = await new VersionScan({
    ...{ engine, space, reverse },
    span: { startKey: Buffer.from('k'), endKey: Buffer.from('l') },
    ...{ readTimestamp: snapshot, uncertaintyLimit: snapshot, withDeleted: false },
    ...{ rowsMax: 10_000, bytesMax: 1_000_000, chunkRows: 256 },
  }).run();
  const rows = result.kind === 'rows' ? result.rows : [];
  return rows.map(({ key, value }) => `${Buffer.from(key ?? [])}=${Buffer.from(value ?? [])}`);
}

it('asks once for the past of rows that have none, however many are newer than the snapshot', async () => {
  const engine = new MemoryEngine();
  await engine.write([
    put(keyOf(0), 50),
    ...Array.from({ length: 2000 }, (_, n) => put(keyOf(n + 1), 200)),
  ]);
  for (const reverse of [false, true]) {
    const counts = counted(engine);
    expect(await scan(counts.engine, reverse)).toEqual(['k00000=v50']);
    expect(counts.iterators).toBe(2); // data and history
  }
});

it('reads the past of many keys in few pieces, and leaves out what nobody asks for', async () => {
  const engine = new MemoryEngine();
  const updated = Array.from({ length: 500 }, (_, n) => n * 2);
  const hot = keyOf(301);
  await engine.write([
    ...Array.from({ length: 1000 }, (_, n) => put(keyOf(n), n % 2 === 0 ? 200 : 60)),
    ...updated.map((n) => old(keyOf(n), 70, 200)),
    // The newest of it is what the snapshot sees: of its long past nothing is.
    ...Array.from({ length: 5000 }, (_, n) => old(hot, n / 100, 10 + n / 100)),
  ]);
  const expected = Array.from({ length: 1000 }, (_, n) => `${keyOf(n)}=v${n % 2 === 0 ? 70 : 60}`);
  const forward = counted(engine);
  expect(await scan(forward.engine, false)).toEqual(expected);
  expect(forward.iterators).toBeLessThan(8);
  expect(forward.rows).toBeLessThan(1000 + 500 + 1000);
  const backward = counted(engine);
  expect(await scan(backward.engine, true)).toEqual([...expected].reverse());
  expect(backward.rows).toBeLessThan(1000 + 2 * 500 + 1000);
});

it('knows of a key that was replaced again and again which version the snapshot saw', async () => {
  const engine = new MemoryEngine();
  const key = keyOf(7);
  const past = Array.from({ length: 300 }, (_, n) => old(key, n, n + 1));
  await engine.write([put(key, 300), put(keyOf(8), 300), ...past]);
  for (const reverse of [false, true]) expect(await scan(engine, reverse)).toEqual(['k00007=v100']);
});
