import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { NodeDisk, SeededPrng, SystemClock } from '@flotilla/base';
import { ManualClock, MemoryDisk } from '@flotilla/base/testing';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { MemoryLog } from '../testing/memory-log.ts';
import { walCases } from '../testing/wal-suite.ts';
import { openWriteAheadLog } from './open-write-ahead-log.ts';

describe('the log on a disk in memory', () => {
  for (const { title, run } of walCases)
    it(title, () => {
      const disk = new MemoryDisk();
      let life = 0;
      return run({
        open: () =>
          openWriteAheadLog({
            disk: disk.session(),
            directory: 'wal',
            clock: new ManualClock(),
            segmentBytes: 4096,
            prng: new SeededPrng(1, life++),
          }),
        die: () => disk.crash(),
      });
    });
});

describe('the log on the operating system', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'flotilla-wal-'));
  });
  afterEach(() => rm(directory, { recursive: true }));
  for (const { title, run } of walCases)
    it(title, () =>
      run({
        open: () =>
          openWriteAheadLog({
            disk: new NodeDisk(),
            directory,
            clock: new SystemClock(),
            segmentBytes: 4096,
          }),
      }),
    );
});

describe('the log in memory', () => {
  for (const { title, run } of walCases)
    it(title, () => {
      let log: MemoryLog | undefined;
      return run({
        open: async () => {
          log = log?.crash() ?? new MemoryLog(new ManualClock());
          return log;
        },
        die: () => {},
      });
    });
});
