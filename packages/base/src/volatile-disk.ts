/**
 * Files in this process's memory, for a database that is to leave nothing behind. Honest and instant: a write is there
 * when it resolves, a sync has nothing to do, and all is gone with the object. Its twin in `./testing` can crash, tear
 * and fail; this one never does, so it must not be used where a test is to prove durability.
 */
import { assert } from './assert.ts';
import type { DirectoryLock, Disk, DiskFile } from './disk.ts';

export class VolatileDisk implements Disk {
  private readonly files = new Map<string, Content>();
  private readonly locks = new Set<string>();

  async open(path: string, mode: 'create' | 'existing'): Promise<DiskFile> {
    let content = this.files.get(path);
    if (mode === 'create') {
      if (content !== undefined) throw systemError('EEXIST', `open '${path}'`);
      content = new Content();
      this.files.set(path, content);
    }
    if (content === undefined) throw systemError('ENOENT', `open '${path}'`);
    return new VolatileFile(path, content);
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    const content = this.files.get(path);
    return content?.read(0, content.length);
  }

  async replaceFile(path: string, bytes: Uint8Array): Promise<void> {
    const content = new Content();
    content.write(0, bytes);
    this.files.set(path, content);
  }

  async list(directory: string): Promise<string[]> {
    const prefix = `${directory}/`;
    const names = new Set<string>();
    for (const path of this.files.keys())
      if (path.startsWith(prefix)) names.add(path.slice(prefix.length).split('/')[0] ?? '');
    return [...names].sort();
  }

  /** A directory is there as soon as something is in it. */
  async makeDirectory(_path: string): Promise<void> {}

  async rename(from: string, to: string): Promise<void> {
    const content = this.files.get(from);
    if (content === undefined) throw systemError('ENOENT', `rename '${from}'`);
    this.files.delete(from);
    this.files.set(to, content);
  }

  async remove(path: string): Promise<void> {
    if (!this.files.delete(path)) throw systemError('ENOENT', `unlink '${path}'`);
  }

  async syncDirectory(_directory: string): Promise<void> {}

  async lock(directory: string): Promise<DirectoryLock | undefined> {
    if (this.locks.has(directory)) return undefined;
    this.locks.add(directory);
    return {
      release: async () => {
        this.locks.delete(directory);
      },
    };
  }
}

class VolatileFile implements DiskFile {
  private readonly path: string;
  private readonly open: Content;
  private closed = false;

  constructor(path: string, content: Content) {
    this.path = path;
    this.open = content;
  }

  readSync(offset: number, length: number): Uint8Array {
    if (offset + length > this.content.length)
      throw new Error(`${this.path}: read of ${length} bytes at ${offset} passes the end`);
    return this.content.read(offset, length);
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.content.write(offset, bytes);
  }

  async datasync(): Promise<void> {
    assert(!this.closed, 'file is open', { path: this.path });
  }

  async writeAndSync(offset: number, bytes: Uint8Array): Promise<void> {
    this.content.write(offset, bytes);
  }

  async truncate(length: number): Promise<void> {
    this.content.truncate(length);
  }

  size(): number {
    return this.open.length;
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  private get content(): Content {
    assert(!this.closed, 'file is open', { path: this.path });
    return this.open;
  }
}

/** A byte array that grows by doubling. */
class Content {
  private bytes: Uint8Array = new Uint8Array(0);
  length = 0;

  read(offset: number, length: number): Uint8Array {
    return this.bytes.slice(offset, offset + length);
  }

  write(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length;
    this.reserve(end);
    this.bytes.set(bytes, offset);
    this.length = Math.max(this.length, end);
  }

  truncate(length: number): void {
    this.reserve(length);
    if (length < this.length) this.bytes.fill(0, length, this.length);
    this.length = length;
  }

  private reserve(length: number): void {
    if (length <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(length, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
