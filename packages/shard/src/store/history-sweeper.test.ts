import { timestampFromWallMs, toTimestamp } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { expect, it } from 'vitest';
import { EngineTurns } from '../engine/engine-turns.ts';
import { StorageSpace } from '../state/storage-keys.ts';
import { encodeStored } from '../state/stored-value.ts';
import { MemoryEngine } from '../testing/memory-engine.ts';
import { HistorySweeper } from './history-sweeper.ts';

it('forgets what was superseded long ago, in bounded steps, and nothing else', async () => {
  const clock = new ManualClock();
  const engine = new MemoryEngine();
  const turns = new EngineTurns(engine);
  const space = new StorageSpace(1);
  const key = (i: number): Buffer => Buffer.from(`key${i}`);
  const at = (agoMs: number): number => toTimestamp(timestampFromWallMs(clock.wallMs() - agoMs));
  const value = encodeStored(Buffer.from('k'), 1, Buffer.from('v'));
  await engine.write([
    { type: 'put', key: space.dataKey(key(0)), value },
    ...Array.from({ length: 10 }, (_, i) => [
      { type: 'put' as const, key: space.historyKey(key(i), at(5000)), value },
      { type: 'put' as const, key: space.historyKey(key(i), at(500)), value },
    ]).flat(),
  ]);
  let forgotten = 0;
  const sweeper = new HistorySweeper({
    engine,
    turns,
    clock,
    horizon: () => timestampFromWallMs(clock.wallMs() - 1000),
    rowsPerStep: 8,
    onForgotten: (rows) => {
      forgotten += rows.length;
    },
    onFatal: (error) => {
      throw error;
    },
  });
  expect(await sweeper.step()).toEqual({ seen: 8, deleted: 4 });
  expect(await sweeper.step()).toEqual({ seen: 8, deleted: 4 });
  expect(await sweeper.step()).toEqual({ seen: 4, deleted: 2 });
  // The next round begins at the front and finds only what is young.
  expect(await sweeper.step()).toEqual({ seen: 8, deleted: 0 });
  expect(engine.rows().length).toBe(11);
  clock.advance(1000);
  while ((await sweeper.step()).seen > 0);
  expect(forgotten).toBe(20);
  expect(engine.rows().map((row) => row.key.toString('latin1'))).toEqual([
    space.dataKey(key(0)).toString('latin1'),
  ]);
});
