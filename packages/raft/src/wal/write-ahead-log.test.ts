import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ExitCode, NodeDisk, SeededPrng, SystemClock, toLogIndex, toRangeId } from '@flotilla/base';
import { ManualClock, MemoryDisk } from '@flotilla/base/testing';
import { describe, expect, it } from 'vitest';
import {
  checkpointOf,
  compaction,
  describeLog,
  entry,
  hardState,
  settle,
} from '../testing/model-log.ts';
import { sectorBytes, segmentNumberOf } from './format.ts';
import { openWriteAheadLog } from './open-write-ahead-log.ts';
import type { GroupWrite } from './write-ahead-log.ts';

const segmentBytes = 16 * 1024;

async function setUp(disk = new MemoryDisk(), life = 0) {
  const clock = new ManualClock();
  const log = await openWriteAheadLog({
    disk: disk.session(),
    directory: 'wal',
    clock,
    segmentBytes,
    prng: new SeededPrng(3, life),
  });
  return { disk, clock, log };
}

function write(rangeId: number, from: number, count: number, bytes = 20): GroupWrite {
  return {
    rangeId: toRangeId(rangeId),
    hardState: hardState(1, 1, from - 1),
    entries: Array.from({ length: count }, (_, i) =>
      entry(from + i, 1, new Uint8Array(bytes).fill(from + i)),
    ),
  };
}

async function segmentsOf(disk: MemoryDisk): Promise<(number | undefined)[]> {
  const numbers = (await disk.list('wal')).map(segmentNumberOf);
  return numbers.filter((number) => number !== undefined);
}

describe('append', () => {
  it('is one write and one sync, however many groups', async () => {
    const { disk, log } = await setUp();
    await settle();
    const before = { ...disk.counters };
    const syncs = log.syncs();
    await log.append(Array.from({ length: 50 }, (_, i) => write(i + 1, 1, 2)));
    expect(disk.counters.writes - before.writes).toBe(1);
    expect(disk.counters.syncs - before.syncs).toBe(1);
    expect(log.syncs() - syncs).toBe(1);
  });

  it('never writes a sector again that holds acknowledged bytes', async () => {
    const touched = new Set<string>();
    const disk = new MemoryDisk();
    const inner = disk.session();
    const watching = {
      ...inner,
      open: async (filePath: string, mode: 'create' | 'existing') => {
        const file = await inner.open(filePath, mode);
        const writeAndSync = async (offset: number, bytes: Uint8Array): Promise<void> => {
          expect(offset % sectorBytes).toBe(0);
          for (let at = offset; at < offset + bytes.length; at += sectorBytes) {
            expect(touched).not.toContain(`${filePath} ${at}`);
            touched.add(`${filePath} ${at}`);
          }
          await file.writeAndSync(offset, bytes);
        };
        return { ...file, writeAndSync };
      },
    };
    const clock = new ManualClock();
    const log = await openWriteAheadLog({ disk: watching, directory: 'wal', clock, segmentBytes });
    for (let i = 0; i < 40; i++) {
      await log.append([write(1, 1 + i * 3, 3, (i * 37) % 500)]);
      if (i % 5 === 0) clock.advance(60);
    }
    expect(touched.size).toBeGreaterThan(60);
    await log.close();
  });

  it('changes what readers see only when the sync is done', async () => {
    const { disk, log } = await setUp();
    await log.append([write(1, 1, 3)]);
    disk.stall();
    const pending = log.append([write(1, 2, 1), write(2, 1, 1)]);
    await settle();
    expect(log.group(toRangeId(1)).lastIndex()).toBe(3);
    expect(log.group(toRangeId(2)).lastIndex()).toBe(0);
    disk.resume();
    await pending;
    expect(log.group(toRangeId(1)).lastIndex()).toBe(2);
    expect(log.group(toRangeId(2)).lastIndex()).toBe(1);
  });

  it('tells how long a sync has been running', async () => {
    const { disk, clock, log } = await setUp();
    expect(log.pendingSyncMs(clock.nowMs())).toBe(0);
    disk.stall();
    const pending = log.append([write(1, 1, 1)]);
    await settle();
    clock.advance(1500);
    expect(log.pendingSyncMs(clock.nowMs())).toBe(1500);
    disk.resume();
    await pending;
    expect(log.pendingSyncMs(clock.nowMs())).toBe(0);
  });

  it('takes a batch that is larger than a segment', async () => {
    const { disk, log } = await setUp();
    await log.append([write(1, 1, 1, 3 * segmentBytes)]);
    await log.append([write(1, 2, 1)]);
    const before = describeLog(log, [1]);
    disk.crash();
    const { log: again } = await setUp(disk, 1);
    expect(describeLog(again, [1])).toEqual(before);
  });

  it('refuses entries that leave a gap, or touch what is compacted', async () => {
    const gap = await setUp();
    await expect(gap.log.append([write(1, 2, 1)])).rejects.toThrow(/entries fit the log/);
    const old = await setUp();
    await old.log.append([write(1, 1, 5)]);
    await old.log.checkpoint(checkpointOf(1, { 1: 3 }), [compaction(1, 3, 1)]);
    await expect(old.log.append([write(1, 3, 1)])).rejects.toThrow(/entries fit the log/);
  });
});

describe('reading', () => {
  it('returns at least one entry and stops at the budget', async () => {
    const { log } = await setUp();
    await log.append([write(1, 1, 10, 1000)]);
    const read = (from: number, to: number, bytesMax: number): number[] =>
      log
        .group(toRangeId(1))
        .entries(toLogIndex(from), toLogIndex(to), bytesMax)
        .map(({ index }) => index);
    expect(read(3, 11, 0)).toEqual([3]);
    expect(read(3, 11, 2500)).toEqual([3, 4]);
    expect(read(3, 5, 1e6)).toEqual([3, 4]);
    expect(read(1, 11, 1e6)).toHaveLength(10);
  });

  it('refuses an entry that was damaged after it was written', async () => {
    const { disk, log } = await setUp();
    await log.append([write(1, 1, 1, 100), write(2, 1, 1, 100)]);
    const file = 'wal/segment-0000000001.wal';
    const at = Buffer.from(disk.content(file) ?? '').indexOf(Buffer.alloc(100, 1));
    disk.flip(file, at + 50);
    const read = (id: number) =>
      log.group(toRangeId(id)).entries(toLogIndex(1), toLogIndex(2), 1000);
    expect(() => read(1)).toThrow(
      expect.objectContaining({
        exitCode: ExitCode.walCorrupt,
        facts: expect.objectContaining({ file }),
      }),
    );
    expect(read(2)).toHaveLength(1);
  });
});

describe('space', () => {
  it('frees segments that nothing needs, and never the one in use', async () => {
    const { disk, log } = await setUp();
    for (let i = 0; i < 30; i++) await log.append([write(1, 1 + i * 4, 4, 400)]);
    await settle();
    expect((await segmentsOf(disk)).length).toBeGreaterThan(4);
    await log.checkpoint(checkpointOf(1, { 1: 120 }), [compaction(1, 120, 1)]);
    await settle();
    expect((await segmentsOf(disk)).length).toBeLessThanOrEqual(2);
    expect(log.sizeBytes()).toBeLessThanOrEqual(2 * segmentBytes);
    const before = describeLog(log, [1]);
    disk.crash();
    const { log: again } = await setUp(disk, 1);
    expect(describeLog(again, [1])).toEqual(before);
  });

  it('moves the few entries of a quiet group out of old segments', async () => {
    const { disk, log } = await setUp();
    await log.append([write(2, 1, 3, 100)]);
    for (let i = 0; i < 30; i++) await log.append([write(1, 1 + i * 4, 4, 400)]);
    await log.checkpoint(checkpointOf(1, { 1: 120 }), [compaction(1, 120, 1)]);
    await log.checkpoint(checkpointOf(2, { 1: 120 }), []);
    await settle();
    expect((await segmentsOf(disk)).length).toBeLessThanOrEqual(3);
    const before = describeLog(log, [1, 2]);
    expect(log.group(toRangeId(2)).lastIndex()).toBe(3);
    disk.crash();
    const { log: again } = await setUp(disk, 1);
    expect(describeLog(again, [1, 2])).toEqual(before);
  });

  it('keeps a group that still needs much of an old segment where it is', async () => {
    const { disk, log } = await setUp();
    for (let i = 0; i < 4; i++) await log.append([write(2, 1 + i * 4, 4, 800)]);
    for (let i = 0; i < 30; i++) await log.append([write(1, 1 + i * 4, 4, 400)]);
    await settle();
    const before = await segmentsOf(disk);
    await log.checkpoint(checkpointOf(1, { 1: 120 }), [compaction(1, 120, 1)]);
    await settle();
    expect((await segmentsOf(disk))[0]).toBe(before[0]);
  });

  it('prepares the next segment as fast as it will be needed, and leaves no half of one behind', async () => {
    const disk = new MemoryDisk();
    const clock = new ManualClock();
    const mib = 1024 * 1024;
    const options = { disk, directory: 'wal', clock, segmentBytes: 8 * mib };
    const log = await openWriteAheadLog(options);
    const prepared = () => disk.content('wal/segment-0000000002.wal')?.length ?? 0;
    await settle();
    expect(prepared()).toBe(mib);
    for (let i = 0; i < 16; i++) {
      await log.append([write(1, 1 + i, 1, 256 * 1024)]);
      await settle();
      expect(prepared()).toBeGreaterThanOrEqual(i * 512 * 1024);
      expect(prepared()).toBeLessThanOrEqual((i + 1) * 512 * 1024 + 2 * mib);
    }
    await log.close();
    const again = await openWriteAheadLog(options);
    await again.append([write(1, 17, 1, 100)]);
    await settle();
    expect(prepared()).toBe(8 * mib);
    await again.close();
    const third = await openWriteAheadLog({ ...options, directory: 'other' });
    await third.close();
    expect(await disk.list('other')).toEqual(['MANIFEST', 'segment-0000000001.wal']);
  });

  it('finishes a removal or a preparation that a crash cut short', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const disk = new MemoryDisk({ prng: new SeededPrng(seed) });
      const { log } = await setUp(disk, seed);
      for (let i = 0; i < 12; i++) await log.append([write(1, 1 + i * 4, 4, 400)]);
      await log.checkpoint(checkpointOf(1, { 1: 48 }), [compaction(1, 48, 1)]);
      for (let tick = 0; tick < seed; tick++) await Promise.resolve();
      disk.crash();
      const { log: again } = await setUp(disk, seed + 100);
      expect(again.group(toRangeId(1)).firstIndex()).toBe(49);
      await again.append([write(1, 49, 1)]);
      await again.checkpoint(checkpointOf(2, { 1: 48 }), []);
      await again.close();
      const numbers = await segmentsOf(disk);
      expect(numbers.length).toBeLessThanOrEqual(3);
    }
  });
});

describe('a disk that fails', () => {
  const cases = [
    { title: 'a full disk', operation: 'write', code: 'ENOSPC', exitCode: ExitCode.diskFull },
    { title: 'a failed write', operation: 'write', code: 'EIO', exitCode: ExitCode.diskFailed },
    { title: 'a failed sync', operation: 'sync', code: 'EIO', exitCode: ExitCode.diskFailed },
  ] as const;
  for (const { title, operation, code, exitCode } of cases)
    it(`${title} is the last thing the log does; what was acknowledged is there afterwards`, async () => {
      const { disk, log } = await setUp();
      await settle();
      await log.append([write(1, 1, 3)]);
      const before = describeLog(log, [1, 2]);
      disk.failNext(operation, code);
      await expect(log.append([write(1, 4, 1, 900)])).rejects.toMatchObject({ exitCode });
      const { writes, syncs } = disk.counters;
      await expect(log.append([write(1, 4, 1)])).rejects.toMatchObject({ exitCode });
      await expect(log.checkpoint(checkpointOf(1, {}), [])).rejects.toMatchObject({ exitCode });
      await log.close(); // whoever holds the log has heard of the failure
      expect(disk.counters).toMatchObject({ writes, syncs });
      disk.crash();
      const { log: again } = await setUp(disk, 1);
      expect(again.closedCleanly).toBe(false);
      expect(describeLog(again, [1, 2])).toEqual(before);
    });

  it('a disk that fills up while the next segment is prepared stops the log too', async () => {
    const disk = new MemoryDisk();
    disk.faults.capacityBytes = segmentBytes + 4000;
    const { log } = await setUp(disk);
    await settle();
    await expect(log.append([write(1, 1, 1)])).rejects.toMatchObject({
      exitCode: ExitCode.diskFull,
    });
    const quiet = new MemoryDisk();
    quiet.faults.capacityBytes = segmentBytes + 4000;
    const { log: unused } = await setUp(quiet);
    await settle();
    await expect(unused.close()).rejects.toMatchObject({ exitCode: ExitCode.diskFull });
  });

  it('a log that cannot be opened says so and lets go of its directory', async () => {
    const disk = new MemoryDisk();
    disk.faults.capacityBytes = 100;
    await expect(setUp(disk)).rejects.toMatchObject({ exitCode: ExitCode.diskFull });
    disk.faults.capacityBytes = Number.POSITIVE_INFINITY;
    const { log } = await setUp(disk, 1);
    await log.close();
  });
});

describe('lives', () => {
  it('one process at a time', async () => {
    const { disk, log } = await setUp();
    await expect(setUp(disk, 1)).rejects.toMatchObject({ exitCode: ExitCode.locked });
    await log.close();
    const { log: next } = await setUp(disk, 2);
    await next.close();
  });

  it('is clean only right after a close', async () => {
    const { disk, log } = await setUp();
    expect(log.closedCleanly).toBe(false);
    await log.append([write(1, 1, 1)]);
    await log.close();
    const second = await setUp(disk, 1);
    expect(second.log.closedCleanly).toBe(true);
    disk.crash();
    const third = await setUp(disk, 2);
    expect(third.log.closedCleanly).toBe(false);
  });

  it('the founding of a log survives a crash at any moment', async () => {
    for (let ticks = 0; ticks < 60; ticks++) {
      const disk = new MemoryDisk({ prng: new SeededPrng(ticks) });
      setUp(disk, 0).catch(() => {}); // reads of a dead process fail
      for (let i = 0; i < ticks; i++) await Promise.resolve();
      disk.crash();
      const { log } = await setUp(disk, 1);
      expect(log.rangeIds()).toEqual([]);
      await log.append([write(1, 1, 1)]);
      await log.close();
    }
  });

  it('notes how far it was synced when it goes quiet, once', async () => {
    const { disk, clock, log } = await setUp();
    await log.append([write(1, 1, 1)]);
    await settle();
    const before = { ...disk.counters };
    clock.advance(49);
    await settle();
    expect(disk.counters).toEqual(before);
    clock.advance(1000);
    await settle();
    expect(disk.counters).toMatchObject({ writes: before.writes + 1, syncs: before.syncs + 1 });
    expect(clock.nextTimerAt()).toBeUndefined();
  });

  it('holds the directory of the operating system against a second log', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'flotilla-wal-'));
    const options = { disk: new NodeDisk(), directory, clock: new SystemClock(), segmentBytes };
    try {
      const log = await openWriteAheadLog(options);
      await expect(openWriteAheadLog(options)).rejects.toMatchObject({
        exitCode: ExitCode.locked,
      });
      await log.close();
      await (await openWriteAheadLog(options)).close();
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
