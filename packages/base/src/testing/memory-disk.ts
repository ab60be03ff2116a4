/**
 * A disk in memory that behaves like the worst real one. What is written is visible at once and durable only after a
 * sync; a crash chooses, for every 512-byte sector of every unsynced write, between new, old, zeros and garbage, and
 * for every unsynced directory change whether it happened. Chance comes from the Prng alone, so a seed replays.
 * Every fault is an explicit setting in `faults` or a method; with none set, the disk is honest and instant.
 */
import { assert } from '../assert.ts';
import type { Clock } from '../clock.ts';
import type { DirectoryLock, Disk, DiskFile } from '../disk.ts';
import { type Prng, SeededPrng } from '../prng.ts';
import { MemoryDirectory } from './memory-directory.ts';
import { type CrashChoices, defaultCrashChoices, MemoryInode } from './memory-inode.ts';

export interface MemoryDiskFaults {
  /** Bytes that all files together may take; a write beyond it stores a part and fails with ENOSPC. */
  capacityBytes: number;
  /** Chance per call. A failed write may have stored a part. */
  writeErrorChance: number;
  /** Chance per sync. As Linux does it: the failed sync drops the data's dirtiness, so that reads go on to see it and the
   *  next sync "succeeds", while a crash loses it (fsyncgate). The same for the names in a directory. */
  syncErrorChance: number;
  /** Milliseconds a call takes, uniform in [min, max]; needs a clock. */
  writeDelayMs: readonly [min: number, max: number];
  syncDelayMs: readonly [min: number, max: number];
  crash: CrashChoices;
}

export interface MemoryDiskOptions {
  readonly prng?: Prng;
  /** For delays. */
  readonly clock?: Clock;
  readonly faults?: Partial<MemoryDiskFaults>;
}

export interface MemoryDiskCounters {
  writes: number;
  syncs: number;
  bytesWritten: number;
}

type Operation = 'write' | 'sync';

/** What a call of a dead process comes back with. */
const never: Promise<never> = new Promise(() => {});

export class MemoryDisk implements Disk {
  readonly faults: MemoryDiskFaults;
  readonly counters: MemoryDiskCounters = { writes: 0, syncs: 0, bytesWritten: 0 };
  private readonly prng: Prng;
  private readonly clock: Clock | undefined;
  private readonly names = new MemoryDirectory();
  private readonly locks = new Set<string>();
  /** Calls of an earlier life neither finish nor have any effect. */
  private life = 0;
  private stalled: (() => void)[] | undefined;
  private readonly failures: { operation: Operation; code: string; after: number }[] = [];

  constructor(options: MemoryDiskOptions = {}) {
    this.prng = options.prng ?? new SeededPrng(1);
    this.clock = options.clock;
    this.faults = {
      capacityBytes: Number.POSITIVE_INFINITY,
      writeErrorChance: 0,
      syncErrorChance: 0,
      writeDelayMs: [0, 0],
      syncDelayMs: [0, 0],
      crash: defaultCrashChoices,
      ...options.faults,
    };
  }

  // ---- faults

  /** The process dies and the machine loses power: open files are dead, unsynced state is decided by chance. */
  crash(): void {
    this.endLife();
    this.names.crash(this.prng);
    for (const inode of this.names.inodes()) inode.crash(this.prng, this.faults.crash);
  }

  /** The process dies and the machine lives on: open files are dead, everything that was written stays. */
  kill(): void {
    this.endLife();
  }

  /** From now on no write or sync finishes, until `resume`. */
  stall(): void {
    this.stalled ??= [];
  }

  resume(): void {
    const waiting = this.stalled ?? [];
    this.stalled = undefined;
    for (const proceed of waiting) proceed();
  }

  /** The next call of this kind that is not yet under way fails with `code` (`EIO`, `ENOSPC`, ...); with `after`, the
   *  one after that many. Until the process dies. */
  failNext(operation: Operation, code: string, after: number = 0): void {
    this.failures.push({ operation, code, after });
  }

  /** Damages what is stored, durably. `mask` is XORed onto the byte at `offset`. */
  flip(path: string, offset: number, mask: number = 1): void {
    const inode = this.inode(path);
    const byte = inode.read(offset, 1)[0] ?? 0;
    inode.overwriteDurably(offset, Uint8Array.of(byte ^ mask));
  }

  /** Overwrites stored bytes durably, behind everyone's back. */
  damage(path: string, offset: number, bytes: Uint8Array): void {
    this.inode(path).overwriteDurably(offset, bytes);
  }

  /** Cuts or zero-extends a file durably, behind everyone's back. */
  cut(path: string, length: number): void {
    const inode = this.inode(path);
    inode.truncate(length);
    inode.sync();
  }

  /** A copy of a file as it reads now, or undefined. */
  content(path: string): Uint8Array | undefined {
    const inode = this.names.lookup(path);
    return inode?.read(0, inode.size());
  }

  /** Of all files, in no order. */
  paths(): readonly string[] {
    return [...this.names.entries()].map(([path]) => path);
  }

  /** Another disk with the same content, everything durable. */
  clone(options: MemoryDiskOptions = {}): MemoryDisk {
    const copy = new MemoryDisk(options);
    for (const [path, inode] of this.names.entries()) copy.names.addDurably(path, inode.copy());
    return copy;
  }

  usedBytes(): number {
    let total = 0;
    for (const inode of this.names.inodes()) total += inode.size();
    return total;
  }

  /**
   * The disk as one life of one process sees it: after the next `crash` or `kill`, calls through it neither return nor
   * do anything. Code of a dead process that is still on the microtask queue cannot reach the next life's files.
   */
  session(): Disk {
    const { life } = this;
    const alive = <T>(call: () => Promise<T>): Promise<T> => (life === this.life ? call() : never);
    return {
      open: (path, mode) => alive(() => this.open(path, mode)),
      readFile: (path) => alive(() => this.readFile(path)),
      replaceFile: (path, bytes) => alive(() => this.replaceFile(path, bytes)),
      list: (directory) => alive(() => this.list(directory)),
      makeDirectory: (path) => alive(() => this.makeDirectory(path)),
      rename: (from, to) => alive(() => this.rename(from, to)),
      remove: (path) => alive(() => this.remove(path)),
      syncDirectory: (directory) => alive(() => this.syncDirectory(directory)),
      lock: (directory) => alive(() => this.lock(directory)),
    };
  }

  // ---- Disk

  async open(path: string, mode: 'create' | 'existing'): Promise<DiskFile> {
    const { life } = this;
    await this.proceed(0);
    if (life !== this.life) return never;
    let inode = this.names.lookup(path);
    if (mode === 'create') {
      if (inode !== undefined) throw systemError('EEXIST', `open '${path}'`);
      inode = new MemoryInode();
      this.names.create(path, inode);
    }
    if (inode === undefined) throw systemError('ENOENT', `open '${path}'`);
    return this.file(path, inode);
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    await this.proceed(0);
    return this.content(path);
  }

  async replaceFile(path: string, bytes: Uint8Array): Promise<void> {
    const { life } = this;
    const temporary = `${path}.tmp`;
    await this.beforeWrite(bytes.length);
    if (life !== this.life) return never;
    const inode = new MemoryInode();
    this.names.create(temporary, inode);
    inode.write(0, bytes);
    await this.beforeSync(inode);
    if (life !== this.life) return never;
    inode.sync();
    this.names.rename(temporary, path);
    await this.beforeSync(parentOf(path));
    if (life !== this.life) return never;
    this.names.sync(parentOf(path));
  }

  async list(directory: string): Promise<string[]> {
    await this.proceed(0);
    return this.names.list(directory);
  }

  async makeDirectory(path: string): Promise<void> {
    assert(path.length > 0, 'path is not empty');
    await this.proceed(0); // directories exist as soon as something is in them
  }

  async rename(from: string, to: string): Promise<void> {
    const { life } = this;
    await this.proceed(0);
    if (life !== this.life) return never;
    if (this.names.lookup(from) === undefined) throw systemError('ENOENT', `rename '${from}'`);
    this.names.rename(from, to);
  }

  async remove(path: string): Promise<void> {
    const { life } = this;
    await this.proceed(0);
    if (life !== this.life) return never;
    if (this.names.lookup(path) === undefined) throw systemError('ENOENT', `unlink '${path}'`);
    this.names.remove(path);
  }

  async syncDirectory(directory: string): Promise<void> {
    const { life } = this;
    await this.beforeSync(directory);
    if (life !== this.life) return never;
    this.names.sync(directory);
  }

  async lock(directory: string): Promise<DirectoryLock | undefined> {
    if (this.locks.has(directory)) return undefined;
    this.locks.add(directory);
    const life = this.life;
    return {
      release: async () => {
        if (life === this.life) this.locks.delete(directory);
      },
    };
  }

  // ---- inside

  private file(path: string, inode: MemoryInode): DiskFile {
    const life = this.life;
    let open = true;
    const check = (): void => {
      assert(open, 'file is open', { path });
    };
    const write = async (offset: number, bytes: Uint8Array): Promise<void> => {
      check();
      if (life !== this.life) return never;
      const grows = Math.max(0, offset + bytes.length - inode.size());
      await this.beforeWrite(bytes.length, { inode, offset, bytes, grows });
      if (life !== this.life) return never;
      inode.write(offset, bytes);
    };
    const datasync = async (): Promise<void> => {
      check();
      if (life !== this.life) return never;
      await this.beforeSync(inode);
      if (life !== this.life) return never;
      inode.sync();
    };
    return {
      readSync: (offset, length) => {
        check();
        assert(life === this.life, 'file belongs to this life', { path });
        if (offset + length > inode.size())
          throw new Error(`${path}: read of ${length} bytes at ${offset} passes the end`);
        return inode.read(offset, length);
      },
      write,
      datasync,
      writeAndSync: async (offset, bytes) => {
        await write(offset, bytes);
        await datasync();
      },
      truncate: async (length) => {
        check();
        if (life !== this.life) return never;
        await this.beforeWrite(0);
        if (life !== this.life) return never;
        inode.truncate(length);
      },
      size: () => inode.size(),
      close: async () => {
        open = false;
      },
    };
  }

  private async beforeWrite(
    length: number,
    target?: { inode: MemoryInode; offset: number; bytes: Uint8Array; grows: number },
  ): Promise<void> {
    this.counters.writes += 1;
    this.counters.bytesWritten += length;
    const { life } = this;
    const failure = this.takeFailure('write');
    await this.proceed(this.delay(this.faults.writeDelayMs));
    if (life !== this.life) return never;
    const room = this.faults.capacityBytes - this.usedBytesIfLimited();
    const full = (target?.grows ?? length) > room;
    const chance = this.faults.writeErrorChance;
    const code =
      failure ?? (full ? 'ENOSPC' : chance > 0 && this.prng.nextFloat() < chance ? 'EIO' : '');
    if (code === '') return;
    if (target !== undefined && length > 0) {
      const stored = full ? Math.min(length, Math.max(0, room)) : this.prng.nextBelow(length);
      target.inode.write(target.offset, target.bytes.subarray(0, stored));
    }
    throw systemError(code, 'write');
  }

  /** @param synced a file, or the path of a directory */
  private async beforeSync(synced: MemoryInode | string): Promise<void> {
    this.counters.syncs += 1;
    const { life } = this;
    const failure = this.takeFailure('sync');
    await this.proceed(this.delay(this.faults.syncDelayMs));
    if (life !== this.life) return never;
    const chance = this.faults.syncErrorChance;
    const code = failure ?? (chance > 0 && this.prng.nextFloat() < chance ? 'EIO' : '');
    if (code === '') return;
    if (typeof synced === 'string') this.names.forgetDirty(synced);
    else synced.forgetDirty();
    throw systemError(code, 'fdatasync');
  }

  /** Waits for the call's turn; never comes back if the process dies first. */
  private proceed(delayMs: number): Promise<void> {
    const { clock, life } = this;
    return new Promise((resolve) => {
      const done = (): void => {
        if (life !== this.life) return;
        if (this.stalled !== undefined) this.stalled.push(done);
        else resolve();
      };
      if (delayMs > 0 && clock !== undefined) clock.setTimer(delayMs, done);
      else done();
    });
  }

  private delay([min, max]: readonly [number, number]): number {
    return max > 0 ? min + this.prng.nextFloat() * (max - min) : 0;
  }

  private takeFailure(operation: Operation): string | undefined {
    const at = this.failures.findIndex((failure) => failure.operation === operation);
    const failure = this.failures[at];
    if (failure === undefined) return undefined;
    if (failure.after > 0) {
      failure.after -= 1;
      return undefined;
    }
    this.failures.splice(at, 1);
    return failure.code;
  }

  private usedBytesIfLimited(): number {
    return Number.isFinite(this.faults.capacityBytes) ? this.usedBytes() : 0;
  }

  private endLife(): void {
    this.life += 1;
    this.locks.clear();
    this.stalled = undefined;
    this.failures.length = 0;
  }

  private inode(path: string): MemoryInode {
    const inode = this.names.lookup(path);
    assert(inode !== undefined, 'file exists', { path });
    return inode;
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
