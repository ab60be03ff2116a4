/**
 * The operating system's files. `writeAndSync` goes through a second descriptor opened with O_DSYNC, so that a batch
 * of the log costs one hop through the thread pool instead of two (measured: packages/raft/README.md). Errors of the
 * system are passed on as they are, with their `code`; nothing is retried.
 */
import fs, { promises as fsPromises } from 'node:fs';
import path from 'node:path';
import { assert } from './assert.ts';
import type { DirectoryLock, Disk, DiskFile } from './disk.ts';
import { lockDirectory } from './node-directory-lock.ts';

export class NodeDisk implements Disk {
  async open(filePath: string, mode: 'create' | 'existing'): Promise<DiskFile> {
    const { O_RDWR, O_CREAT, O_EXCL } = fs.constants;
    const flags = mode === 'create' ? O_RDWR | O_CREAT | O_EXCL : O_RDWR;
    const descriptor = await openDescriptor(filePath, flags);
    try {
      return new NodeFile(filePath, descriptor, fs.fstatSync(descriptor).size);
    } catch (error) {
      fs.closeSync(descriptor);
      throw error;
    }
  }

  async readFile(filePath: string): Promise<Uint8Array | undefined> {
    try {
      return await fsPromises.readFile(filePath);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async replaceFile(filePath: string, bytes: Uint8Array): Promise<void> {
    const temporary = `${filePath}.tmp`;
    const handle = await fsPromises.open(temporary, 'w');
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await fsPromises.rename(temporary, filePath);
    await this.syncDirectory(path.dirname(filePath));
  }

  async list(directory: string): Promise<string[]> {
    try {
      return (await fsPromises.readdir(directory)).sort();
    } catch (error) {
      if (isNotFound(error)) return [];
      throw error;
    }
  }

  async makeDirectory(directory: string): Promise<void> {
    const first = await fsPromises.mkdir(directory, { recursive: true });
    if (first === undefined) return;
    // Each new directory's name is an entry of its parent: sync from the innermost to the first that was there.
    for (let at = path.resolve(directory); ; at = path.dirname(at)) {
      await this.syncDirectory(path.dirname(at));
      if (at === path.resolve(first)) return;
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await fsPromises.rename(from, to);
  }

  async remove(filePath: string): Promise<void> {
    await fsPromises.unlink(filePath);
  }

  async syncDirectory(directory: string): Promise<void> {
    const handle = await fsPromises.open(directory, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  lock(directory: string): Promise<DirectoryLock | undefined> {
    return lockDirectory(directory);
  }
}

class NodeFile implements DiskFile {
  private readonly filePath: string;
  private readonly descriptor: number;
  /** Opened at the first `writeAndSync`. */
  private syncDescriptor: number | undefined;
  private length: number;
  /** Something was written without sync: a write through the O_DSYNC descriptor would not cover it. */
  private unsynced = false;
  private open = true;

  constructor(filePath: string, descriptor: number, length: number) {
    this.filePath = filePath;
    this.descriptor = descriptor;
    this.length = length;
  }

  readSync(offset: number, length: number): Uint8Array {
    this.checkOpen();
    // Not from the shared pool: what is returned may be kept for long.
    const bytes = Buffer.allocUnsafeSlow(length);
    for (let done = 0; done < length; ) {
      const count = fs.readSync(this.descriptor, bytes, done, length - done, offset + done);
      if (count === 0)
        throw new Error(`${this.filePath}: read of ${length} bytes at ${offset} passes the end`);
      done += count;
    }
    return bytes;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.checkOpen();
    this.unsynced = true;
    await writeFully(this.descriptor, offset, bytes);
    this.length = Math.max(this.length, offset + bytes.length);
  }

  async datasync(): Promise<void> {
    this.checkOpen();
    this.unsynced = false;
    try {
      await new Promise<void>((resolve, reject) =>
        fs.fdatasync(this.descriptor, (error) => (error ? reject(error) : resolve())),
      );
    } catch (error) {
      this.unsynced = true;
      throw error;
    }
  }

  async writeAndSync(offset: number, bytes: Uint8Array): Promise<void> {
    this.checkOpen();
    if (this.unsynced) {
      await this.write(offset, bytes);
      return this.datasync();
    }
    if (this.syncDescriptor === undefined) {
      const { O_RDWR, O_DSYNC } = fs.constants;
      this.syncDescriptor = await openDescriptor(this.filePath, O_RDWR | O_DSYNC);
    }
    await writeFully(this.syncDescriptor, offset, bytes);
    this.length = Math.max(this.length, offset + bytes.length);
  }

  async truncate(length: number): Promise<void> {
    this.checkOpen();
    this.unsynced = true;
    await new Promise<void>((resolve, reject) =>
      fs.ftruncate(this.descriptor, length, (error) => (error ? reject(error) : resolve())),
    );
    this.length = length;
  }

  size(): number {
    return this.length;
  }

  async close(): Promise<void> {
    if (!this.open) return;
    this.open = false;
    fs.closeSync(this.descriptor);
    if (this.syncDescriptor !== undefined) fs.closeSync(this.syncDescriptor);
  }

  private checkOpen(): void {
    assert(this.open, 'file is open', { path: this.filePath });
  }
}

function openDescriptor(filePath: string, flags: number): Promise<number> {
  return new Promise((resolve, reject) =>
    fs.open(filePath, flags, 0o600, (error, descriptor) =>
      error ? reject(error) : resolve(descriptor),
    ),
  );
}

function writeFully(descriptor: number, offset: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const rest = (done: number): void => {
      fs.write(descriptor, bytes, done, bytes.length - done, offset + done, (error, count) => {
        if (error) reject(error);
        else if (done + count >= bytes.length) resolve();
        else if (count === 0) reject(new Error('write made no progress'));
        else rest(done + count);
      });
    };
    rest(0);
  });
}

function isNotFound(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT';
}
