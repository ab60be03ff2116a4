import { describe, expect, it } from 'vitest';
import { SeededPrng } from '../prng.ts';
import { diskCases } from './disk-suite.ts';
import { ManualClock } from './manual-clock.ts';
import { MemoryDisk } from './memory-disk.ts';

const of = (length: number, value: number) => new Uint8Array(length).fill(value);

async function diskWithFile(seed = 1) {
  const disk = new MemoryDisk({ prng: new SeededPrng(seed) });
  const file = await disk.open('d/a', 'create');
  await file.writeAndSync(0, of(4096, 1));
  await disk.syncDirectory('d');
  return { disk, file };
}

describe('MemoryDisk conforms', () => {
  for (const { title, run } of diskCases) it(title, () => run(new MemoryDisk(), 'data'));
});

describe('MemoryDisk faults', () => {
  it('keeps synced data through a crash and decides unsynced writes by sector', async () => {
    const seen = new Set<number>();
    for (let seed = 1; seed <= 20; seed++) {
      const { disk, file } = await diskWithFile(seed);
      await file.write(1024, of(2048, 2));
      disk.crash();
      const content = disk.content('d/a') ?? of(0, 0);
      expect(content.subarray(0, 1024)).toEqual(of(1024, 1));
      expect(content.subarray(3072)).toEqual(of(1024, 1));
      for (let at = 1024; at < 3072; at += 512) {
        const sector = content.subarray(at, at + 512);
        const uniform = sector.every((byte) => byte === sector[0]);
        seen.add(uniform ? (sector[0] ?? -1) : 255);
      }
    }
    expect([...seen].sort((a, b) => a - b)).toEqual([0, 1, 2, 255]);
  });

  it('loses or keeps unsynced directory entries, and never a synced one', async () => {
    const outcomes = new Set<string>();
    for (let seed = 1; seed <= 40; seed++) {
      const { disk } = await diskWithFile(seed);
      await (await disk.open('d/b', 'create')).close();
      await disk.rename('d/a', 'd/c');
      disk.crash();
      outcomes.add((await disk.list('d')).join());
    }
    expect([...outcomes].sort()).toEqual(['a', 'a,b', 'b,c', 'c']);
  });

  it('keeps everything when only the process dies', async () => {
    const { disk, file } = await diskWithFile();
    await file.write(0, of(512, 3));
    disk.kill();
    expect(disk.content('d/a')?.subarray(0, 512)).toEqual(of(512, 3));
    expect(() => file.readSync(0, 1)).toThrow(/this life/);
  });

  it('replaceFile leaves the old or the new content, whenever the crash comes', async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const disk = new MemoryDisk({ prng: new SeededPrng(seed) });
      await disk.replaceFile('d/x', of(10, 1));
      void disk.replaceFile('d/x', of(2000, 2));
      for (let step = 0; step < seed % 8; step++) await Promise.resolve();
      disk.crash();
      const content = disk.content('d/x');
      expect([of(10, 1), of(2000, 2)]).toContainEqual(content);
    }
  });

  it('stores a part of a write that does not fit and says ENOSPC', async () => {
    const { disk, file } = await diskWithFile();
    disk.faults.capacityBytes = 5000;
    await expect(file.write(4096, of(2000, 2))).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(file.size()).toBe(5000);
    await file.write(0, of(10, 4)); // takes no new room
  });

  it('after a failed sync, a later sync succeeds and the data is gone all the same', async () => {
    const { disk, file } = await diskWithFile();
    await file.write(0, of(512, 9));
    disk.failNext('sync', 'EIO');
    await expect(file.datasync()).rejects.toMatchObject({ code: 'EIO' });
    expect(file.readSync(0, 1)).toEqual(of(1, 9));
    await file.writeAndSync(512, of(10_000, 8)); // what is written later does reach the disk
    disk.crash();
    expect(disk.content('d/a')?.[0]).toBe(1);
    expect(disk.content('d/a')?.[512]).toBe(8);
  });

  it('stalls until resumed; calls of a dead process never come back', async () => {
    const { disk, file } = await diskWithFile();
    const done: string[] = [];
    disk.stall();
    void file.write(0, of(1, 5)).then(() => done.push('write'));
    await new Promise(setImmediate);
    expect(done).toEqual([]);
    disk.resume();
    await new Promise(setImmediate);
    expect(done).toEqual(['write']);
    disk.stall();
    void file.datasync().then(() => done.push('sync'));
    disk.kill();
    disk.resume();
    await new Promise(setImmediate);
    expect(done).toEqual(['write']);
  });

  it('a session ends with the life it was taken in', async () => {
    const disk = new MemoryDisk();
    const session = disk.session();
    await session.replaceFile('d/x', of(1, 1));
    const file = await session.open('d/x', 'existing');
    disk.kill();
    const done: string[] = [];
    void session.replaceFile('d/x', of(1, 2)).then(() => done.push('replaced'));
    void file.write(0, of(1, 3)).then(() => done.push('written'));
    await new Promise(setImmediate);
    expect(done).toEqual([]);
    expect(disk.content('d/x')).toEqual(of(1, 1));
    expect(await disk.session().readFile('d/x')).toEqual(of(1, 1));
  });

  it('takes as long as it is told', async () => {
    const clock = new ManualClock();
    const disk = new MemoryDisk({ clock, faults: { syncDelayMs: [5, 5] } });
    const file = await disk.open('d/a', 'create');
    let synced = false;
    void file.writeAndSync(0, of(1, 1)).then(() => {
      synced = true;
    });
    await new Promise(setImmediate);
    clock.advance(4.9);
    await new Promise(setImmediate);
    expect(synced).toBe(false);
    clock.advance(0.2);
    await new Promise(setImmediate);
    expect(synced).toBe(true);
  });
});
