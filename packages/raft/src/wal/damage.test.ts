/**
 * Every region of every file, cut, zeroed and flipped. Damage to acknowledged bytes must be refused, wherever it is;
 * only the last batch, of which nothing later speaks, may be taken for a torn tail.
 */
import {
  crc32c,
  ExitCode,
  FatalError,
  SeededPrng,
  toLogIndex,
  toRangeId,
  toTerm,
} from '@flotilla/base';
import { ManualClock, MemoryDisk } from '@flotilla/base/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  checkpointOf,
  compaction,
  describeLog,
  entry,
  hardState,
  ModelLog,
  settle,
} from '../testing/model-log.ts';
import { decodeBatchHeader, decodeSegmentHeader, sectorBytes } from './format.ts';
import { openWriteAheadLog } from './open-write-ahead-log.ts';
import type { GroupWrite } from './write-ahead-log.ts';

const rangeIds = [1, 2];
const segmentBytes = 8192;

function open(disk: MemoryDisk, life: number) {
  const clock = new ManualClock();
  const log = openWriteAheadLog({
    disk: disk.session(),
    directory: 'wal',
    clock,
    segmentBytes,
    prng: new SeededPrng(5, life),
  });
  return log.then((opened) => ({ log: opened, clock }));
}

interface Built {
  readonly disk: MemoryDisk;
  /** State with every batch, and without the last. */
  readonly full: unknown;
  readonly withoutLast: unknown;
}

/** Three segments of batches, metadata with a compaction and a checkpoint, and a process that was killed. */
async function build(ending: 'busy' | 'idle'): Promise<Built> {
  const disk = new MemoryDisk({ prng: new SeededPrng(9) });
  const { log, clock } = await open(disk, 0);
  const model = new ModelLog();
  let withoutLast: unknown;
  const append = async (...writes: GroupWrite[]): Promise<void> => {
    withoutLast = model.describe(rangeIds);
    await log.append(writes);
    model.append(writes);
  };
  for (let i = 1; i <= 18; i++) {
    const data = new Uint8Array(500 + 40 * i).fill(i);
    await append(
      { rangeId: toRangeId(1), hardState: hardState(1, 1, i - 1), entries: [entry(i, 1, data)] },
      { rangeId: toRangeId(2), hardState: undefined, entries: [entry(i, 1, 'small')] },
    );
    if (i === 6) {
      const [checkpoint, compactions] = [checkpointOf(7, { 1: 3, 2: 2 }), [compaction(2, 2, 1)]];
      await log.checkpoint(checkpoint, compactions);
      model.checkpoint(checkpoint, compactions);
    }
  }
  const removed = { rangeId: toRangeId(2), hardState: undefined, entries: [], removed: true };
  await append(removed, {
    rangeId: toRangeId(2),
    snapshot: { index: toLogIndex(40), term: toTerm(2) },
    hardState: hardState(2, 2, 40),
    entries: [entry(41, 2, 'above the snapshot', 'configuration')],
  });
  await append(removed);
  await append({
    rangeId: toRangeId(1),
    snapshot: { index: toLogIndex(16), term: toTerm(1) },
    hardState: undefined,
    entries: [],
  });
  await append({ rangeId: toRangeId(1), hardState: undefined, entries: [entry(17, 2, 'new')] });
  if (ending === 'idle') clock.advance(60);
  await settle();
  disk.kill();
  return { disk, full: model.describe(rangeIds), withoutLast };
}

interface Region {
  readonly path: string;
  readonly what: string;
  readonly from: number;
  readonly to: number;
}

/** What the segments hold, in order, as their own headers tell. */
async function regionsOf(disk: MemoryDisk): Promise<Region[]> {
  const regions: Region[] = [];
  for (const name of await disk.list('wal')) {
    if (!name.endsWith('.wal')) continue;
    const path = `wal/${name}`;
    const bytes = disk.content(path) ?? new Uint8Array(0);
    const decoded = decodeSegmentHeader(bytes);
    if (!decoded.ok) throw new Error(decoded.reason);
    regions.push({ path, what: 'segment header', from: 0, to: 64 });
    for (let offset = sectorBytes; offset < bytes.length; offset += sectorBytes) {
      const place = { offset, nonce: decoded.header.nonce };
      const header = decodeBatchHeader(bytes.subarray(offset), place);
      if (header === undefined) continue;
      const from = offset + 64;
      regions.push({ path, what: `batch ${header.number}`, from: offset, to: from });
      if (header.payloadBytes > 0)
        regions.push({
          path,
          what: `records of ${header.number}`,
          from,
          to: from + header.payloadBytes,
        });
    }
  }
  return regions;
}

type Outcome = 'full' | 'withoutLast' | 'refused' | 'wrong';

async function outcomeOf(built: Built, damage: (disk: MemoryDisk) => void): Promise<Outcome> {
  const disk = built.disk.clone();
  damage(disk);
  try {
    const { log } = await open(disk, 1);
    const found = describeLog(log, rangeIds);
    await log.close();
    try {
      expect(found).toEqual(built.full);
      return 'full';
    } catch {
      expect(found).toEqual(built.withoutLast);
      return 'withoutLast';
    }
  } catch (error) {
    if (!(error instanceof FatalError)) return 'wrong';
    expect(error.exitCode).toBe(ExitCode.walCorrupt);
    expect(error.facts).toMatchObject({
      file: expect.stringContaining('wal/'),
      offset: expect.any(Number),
    });
    return 'refused';
  }
}

describe.each(['busy', 'idle'] as const)('a log that was killed while %s', (ending) => {
  let built: Built;
  let regions: Region[];
  /** Regions of the last batch that carries data: the only ones that may be doubtful, and only if nothing followed. */
  let doubtful: Region[];

  beforeAll(async () => {
    built = await build(ending);
    regions = await regionsOf(built.disk);
    const batches = regions.filter(({ what }) => what !== 'segment header');
    doubtful = batches.slice(ending === 'busy' ? -2 : -1);
  });

  const expected = (region: Region): Outcome => {
    if (!doubtful.includes(region)) return 'refused';
    return ending === 'busy' ? 'withoutLast' : 'full'; // idle: only the marker itself is doubtful
  };

  it('has what the tests are about: several segments, one prepared, metadata', async () => {
    expect(regions.filter(({ what }) => what === 'segment header').length).toBeGreaterThanOrEqual(
      4,
    );
    expect(regions.length).toBeGreaterThan(40);
    expect(await outcomeOf(built, () => {})).toBe('full');
  });

  it('flipped anywhere', async () => {
    for (const region of regions) {
      const { path, from, to } = region;
      for (let at = from + (from % 7); at < to; at += to - from > 64 ? 331 : 7) {
        const outcome = await outcomeOf(built, (disk) => disk.flip(path, at, 1 << (at % 8)));
        expect({ region, at, outcome }).toEqual({ region, at, outcome: expected(region) });
      }
    }
  });

  it('zeroed, region by region', async () => {
    for (const region of regions) {
      const { path, from, to } = region;
      const outcome = await outcomeOf(built, (disk) =>
        disk.damage(path, from, new Uint8Array(to - from)),
      );
      expect({ region, outcome }).toEqual({ region, outcome: expected(region) });
    }
  });

  it('zeroed from a region to the end of its segment', async () => {
    // Wiping the end of the last segment wipes every witness of what was there: that loss, which no crash of an honest
    // disk causes, is for the store's own high-water marks to see.
    const lastPath = doubtful[0]?.path;
    for (const region of regions) {
      const { path, from, what } = region;
      if (path === lastPath && what !== 'segment header' && !doubtful.includes(region)) continue;
      const outcome = await outcomeOf(built, (disk) =>
        disk.damage(path, from, new Uint8Array((disk.content(path)?.length ?? 0) - from)),
      );
      expect({ region, outcome }).toEqual({ region, outcome: expected(region) });
    }
  });

  it('cut anywhere', async () => {
    for (const { path, from, to } of regions)
      for (const length of [from, from + 1, to]) {
        const outcome = await outcomeOf(built, (disk) => disk.cut(path, length));
        expect({ path, length, outcome }).toEqual({ path, length, outcome: 'refused' });
      }
  });

  it('garbage after the end of the log is left where it is and never read again', async () => {
    const last = doubtful[doubtful.length - 1];
    const end = Math.ceil((last?.to ?? 0) / sectorBytes) * sectorBytes;
    const path = last?.path ?? '';
    const disk = built.disk.clone();
    disk.damage(path, end + 700, new Uint8Array(300).fill(77));
    for (let life = 1; life <= 2; life++) {
      const { log } = await open(disk, life);
      expect(log.closedCleanly).toBe(life > 1);
      expect(describeLog(log, rangeIds)).toEqual(built.full);
      await log.close();
    }
    expect(disk.content(path)?.[end + 700]).toBe(77);
  });

  it('a missing file', async () => {
    for (const name of await built.disk.list('wal')) {
      const disk = built.disk.clone();
      await disk.remove(`wal/${name}`);
      await expect(open(disk, 1)).rejects.toMatchObject({ exitCode: ExitCode.walCorrupt });
    }
  });

  it('a damaged manifest', async () => {
    for (let at = 0; at < 44; at++)
      expect(await outcomeOf(built, (disk) => disk.flip('wal/MANIFEST', at))).toBe('refused');
  });

  it('an old copy of the manifest', async () => {
    const disk = built.disk.clone();
    const young = new MemoryDisk({ prng: new SeededPrng(9) });
    const { log } = await open(young, 0);
    await log.close();
    disk.damage('wal/MANIFEST', 0, young.content('wal/MANIFEST') ?? new Uint8Array(0));
    await expect(open(disk, 1)).rejects.toMatchObject({
      exitCode: ExitCode.walCorrupt,
      message: expect.stringContaining('manifest does not name it'),
    });
  });
});

describe('files that do not belong', () => {
  it('a segment of another log is refused', async () => {
    const disk = (await build('busy')).disk.clone();
    const other = new MemoryDisk();
    const clock = new ManualClock();
    const log = await openWriteAheadLog({
      disk: other,
      directory: 'wal',
      clock,
      segmentBytes,
      prng: new SeededPrng(1234),
    });
    await log.close();
    const name = 'wal/segment-0000000002.wal';
    disk.damage(name, 0, other.content(name) ?? new Uint8Array(0));
    await expect(open(disk, 1)).rejects.toMatchObject({ exitCode: ExitCode.identityMismatch });
  });

  it('two segments that changed places are refused', async () => {
    const disk = (await build('busy')).disk.clone();
    const [one, two] = ['wal/segment-0000000001.wal', 'wal/segment-0000000002.wal'];
    const content = disk.content(one) ?? new Uint8Array(0);
    disk.damage(one, 0, disk.content(two) ?? new Uint8Array(0));
    disk.damage(two, 0, content);
    await expect(open(disk, 1)).rejects.toMatchObject({ exitCode: ExitCode.walCorrupt });
  });

  it('an older copy of one segment is refused', async () => {
    const { disk } = await build('busy');
    const path = 'wal/segment-0000000002.wal';
    const bytes = disk.content(path) ?? new Uint8Array(0);
    const older = bytes.slice();
    older.fill(0, segmentBytes - 4 * sectorBytes);
    const copy = disk.clone();
    copy.damage(path, 0, older);
    await expect(open(copy, 1)).rejects.toMatchObject({ exitCode: ExitCode.walCorrupt });
  });

  it('a format of the future is refused by name', async () => {
    const { disk } = await build('busy');
    const path = 'wal/segment-0000000001.wal';
    const header = (disk.content(path) ?? new Uint8Array(0)).slice(0, 64);
    const view = new DataView(header.buffer);
    view.setUint32(4, 3, true);
    view.setUint32(60, crc32c(header.subarray(0, 60)), true);
    disk.damage(path, 0, header);
    await expect(open(disk.clone(), 1)).rejects.toThrow(
      /format version 3; this program reads 1 to 2/,
    );
  });
});

it('a batch that a killed process had not synced is durable before the next segment says so', async () => {
  let crossed = 0;
  for (let bytes = 300; bytes < 1500; bytes += 100) {
    const onDisk = new ManualClock();
    const disk = new MemoryDisk({
      clock: onDisk,
      faults: { crash: { newData: 0, oldData: 1, zeros: 0, garbage: 0 } },
    });
    const write = (index: number): GroupWrite => ({
      rangeId: toRangeId(1),
      hardState: hardState(1, 1, index - 1),
      entries: [entry(index, 1, new Uint8Array(bytes).fill(index))],
    });
    let index = 1;
    const { log } = await open(disk, 0);
    const end = segmentBytes - sectorBytes - 2 * bytes;
    for (; index * (bytes + sectorBytes) < end; index++) await log.append([write(index)]);
    // The last batch is written, and its sync never comes back.
    disk.faults.syncDelayMs = [1000, 1000];
    void log.append([write(index)]);
    await settle();
    disk.kill();
    disk.faults.syncDelayMs = [0, 0];

    const second = await open(disk, 1);
    const before = describeLog(second.log, [1]);
    if (second.log.group(toRangeId(1)).lastIndex() === index) crossed++;
    disk.crash();
    const third = await open(disk, 2);
    expect(describeLog(third.log, [1])).toEqual(before);
    await third.log.close();
  }
  expect(crossed).toBeGreaterThan(0);
});

describe('a process that ended because a sync failed, on a machine that lives on', () => {
  const write = (index: number, bytes = 40): GroupWrite => ({
    rangeId: toRangeId(1),
    hardState: hardState(1, 1, index - 1),
    entries: [entry(index, 1, new Uint8Array(bytes).fill(index))],
  });

  it('leaves a batch that can be read and is not on disk: what follows it survives a power loss', async () => {
    const disk = new MemoryDisk();
    const { log } = await open(disk, 0);
    await log.append([write(1)]);
    await settle(); // the next segment is prepared
    disk.failNext('sync', 'EIO');
    await expect(log.append([write(2)])).rejects.toMatchObject({ exitCode: ExitCode.diskFailed });
    disk.kill();
    const second = await open(disk, 1);
    // It may be there or not, but what is said now must hold.
    const seen = second.log.group(toRangeId(1)).lastIndex();
    expect(seen).toBe(2);
    await second.log.append([write(3)]);
    disk.crash();
    const third = await open(disk, 2);
    expect(third.log.group(toRangeId(1)).lastIndex()).toBe(3);
    expect(third.log.group(toRangeId(1)).entries(toLogIndex(2), toLogIndex(4), 1000)).toEqual([
      write(2).entries[0],
      write(3).entries[0],
    ]);
  });

  it('whichever sync it was, of log, segment, directory or manifest', async () => {
    for (let failing = 0; failing < 40; failing++) {
      const disk = new MemoryDisk({ prng: new SeededPrng(failing) });
      disk.failNext('sync', 'EIO', failing);
      let last = 0;
      for (let life = 0; life < 3; life++) {
        try {
          const { log } = await open(disk, life);
          expect(log.group(toRangeId(1)).lastIndex()).toBeGreaterThanOrEqual(last);
          last = log.group(toRangeId(1)).lastIndex();
          for (let i = 0; i < 9; i++) {
            await log.append([write(last + 1, 700)]);
            last += 1;
          }
        } catch (error) {
          expect(error).toMatchObject({ exitCode: ExitCode.diskFailed });
        }
        await settle();
        if (life === 0) disk.kill();
        else disk.crash();
      }
      const { log } = await open(disk, 3);
      expect(log.group(toRangeId(1)).lastIndex()).toBeGreaterThanOrEqual(last);
    }
  });
});
