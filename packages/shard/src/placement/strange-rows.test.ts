/** Whoever may write to the key space may write anything among the rows that the cluster keeps of itself. */
import { concatBytes, metaPrefix, present, toStoreId } from '@flotilla/base';
import { expect, it } from 'vitest';
import { initialRanges } from '../initial-ranges.ts';
import { StoreCluster } from '../testing/store-cluster.ts';
import {
  decodeEvent,
  encodeEvent,
  encodeIntent,
  encodeReport,
  eventSpan,
  intentKey,
  intentSpan,
  reportKey,
} from './cluster-rows.ts';

const garbage = Buffer.from('ffffffff', 'hex');
const event = (text: string): Uint8Array =>
  encodeEvent({ atMs: 1, kind: 'store', text, rangeId: 0, storeId: 0 });

it('passes over rows that are none, and places what it can', async () => {
  const placement = { deadAfterMs: 8000, reportEveryMs: 500 };
  const ranges = initialRanges([1, 2, 3].map(toStoreId), 10);
  const cluster = new StoreCluster({ seed: 5, stores: 4, founding: 3, ranges, placement });
  await cluster.start();
  await cluster.run(2000);
  const rows: [Uint8Array, Uint8Array][] = [
    [intentSpan.startKey, new Uint8Array(0)],
    [concatBytes(intentSpan.startKey, Buffer.of(7)), encodeIntent({ draining: true })],
    [concatBytes(intentKey(2), Buffer.of(1)), encodeIntent({ decommissioning: true })],
    [reportKey(9), encodeReport({ storeId: 1, machine: 'another', zone: '' })],
    [concatBytes(eventSpan.startKey, Buffer.alloc(8, 0xff)), event('the last of all.')],
    [eventSpan.startKey, event('the first of all.')],
    [concatBytes(metaPrefix, Buffer.of(0x99)), garbage],
  ];
  for (const [key, value] of rows) {
    const answer = await cluster.until(cluster.client().write({ mutations: [{ key, value }] }));
    expect(answer?.write?.applied, Buffer.from(key).toString('hex')).toBe(true);
  }
  await cluster.startStore(toStoreId(4));
  await cluster.run(20_000);
  expect(cluster.fatal).toEqual([]);
  const told = present(
    await cluster.until(cluster.client().scan(eventSpan.startKey, eventSpan.endKey)),
    'events',
  ).map(({ value }) => decodeEvent(value ?? new Uint8Array(0))?.text ?? '');
  expect(told).toContain('s4 on machine machine-4 has joined.');
  expect(told.filter((text) => /another|decommissioned|drains/.test(text))).toEqual([]);
  await cluster.stopAll();
});
