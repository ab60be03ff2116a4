/** What the meta index says of ranges that are cut, whatever their keys and whatever somebody wrote there. */
import { keyBytesMax, resetProbes } from '@flotilla/base';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { kv } from '../protocol/index.ts';
import { decodeIndexRow, metaKey } from '../store/meta-index.ts';
import { nextRangeIdKey } from './range-ids.ts';
import { at, data, type Kit, middle, probes, started, stopped } from './split.test-kit.ts';

beforeEach(resetProbes);
afterEach(stopped);

/** The range that the index has under this end. */
async function rowOf({ cluster, client }: Kit, endKey: Uint8Array): Promise<number | undefined> {
  const key = metaKey(endKey);
  const answer = await cluster.until(
    client.ask(client.rangeOf(key), { get: { keys: [key] } }, 5000),
  );
  const [row] = answer?.get?.values ?? [];
  return decodeIndexRow(row?.value ?? new Uint8Array(0))?.descriptor.rangeId;
}

it('rows that somebody has overwritten are put right', async () => {
  const kit = await started();
  const { cluster, client, put, split } = kit;
  await put(client, at(0x10), 'x');
  for (const endKey of [middle, data.endKey]) await put(client, metaKey(endKey), '\xff no range');
  await split(client, middle);
  await cluster.run(5000);
  for (const { rangeId, endKey } of await kit.expectTiling(3))
    expect(await rowOf(kit, endKey)).toBe(rangeId);
});

it('a counter of ranges that somebody has overwritten gives no ids, and ends no store', async () => {
  const { cluster, client, put } = await started();
  for (const value of ['1', '\x7f'.repeat(8)]) {
    await put(client, nextRangeIdKey, value);
    const asked = await cluster.until(client.ask(data, { split: { splitKey: middle } }, 20_000));
    expect(asked?.split).toMatchObject({ ok: false });
  }
  expect(cluster.fatal).toEqual([]);
});

it('a range is cut at no key that is too long for its row', async () => {
  const kit = await started({ limits: { splitBytes: 40_000 } });
  const { client, cluster, put } = kit;
  const long = (n: number): Buffer => Buffer.concat([at(n), Buffer.alloc(keyBytesMax - 2, n)]);
  const asked = await cluster.until(client.ask(data, { split: { splitKey: long(0x50) } }, 5000));
  expect(asked?.refusal?.reason).toBe(kv.RefusalReason.INVALID);
  for (let n = 1; n < 10; n++) await put(client, long(n), 'x');
  await cluster.run(12_000);
  expect(probes('splitBySize')).toBeGreaterThan(0);
  const tiles = await kit.expectTiling(2 + probes('splitBySize'));
  for (const { rangeId, endKey } of tiles) expect(await rowOf(kit, endKey)).toBe(rangeId);
});
