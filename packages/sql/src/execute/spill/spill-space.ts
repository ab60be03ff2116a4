/**
 * Where statements put rows that they cannot hold in memory: files of one directory that lose their name as soon as they are
 * open, so that nothing is left of them however the process ends. Nothing is synced.
 */
import type { Disk, DiskFile } from '@flotilla/base';
import { spillBytesMax } from '../../limits.ts';
import { SqlError } from '../../sql-error.ts';

export interface SpillSpaceOptions {
  readonly disk: Disk;
  /** Made if it is missing. */
  readonly directory: string;
  /** Of names that nobody else gives to files there. */
  readonly prefix: string;
  /** What all files together may hold. Unit: bytes. */
  readonly bytesMax?: number;
  /** What a file collects before it is written to. Unit: bytes. Default: 32 KiB. */
  readonly chunkBytes?: number;
}

export class SpillSpace {
  private readonly disk: Disk;
  private readonly directory: string;
  private readonly prefix: string;
  private readonly bytesMax: number;
  readonly chunkBytes: number;
  private made: Promise<void> | undefined;
  private files = 0;
  private bytes = 0;
  private writtenBytes = 0;

  constructor({
    disk,
    directory,
    prefix,
    bytesMax = spillBytesMax,
    chunkBytes = 32 * 1024,
  }: SpillSpaceOptions) {
    this.disk = disk;
    this.directory = directory;
    this.prefix = prefix;
    this.bytesMax = bytesMax;
    this.chunkBytes = chunkBytes;
  }

  /** Unit: bytes. */
  get used(): number {
    return this.bytes;
  }

  /** Since the process began. Unit: bytes. */
  get written(): number {
    return this.writtenBytes;
  }

  /** Throws 53100, 58030. */
  async open(): Promise<SpillFile> {
    const path = `${this.directory}/${this.prefix}${++this.files}`;
    return onDisk(async () => {
      this.made ??= this.disk.makeDirectory(this.directory);
      await this.made;
      const file = await this.disk.open(path, 'create');
      await this.disk.remove(path);
      return new SpillFile(file, this);
    });
  }

  /** Throws 53400. */
  take(bytes: number): void {
    if (this.bytes + bytes > this.bytesMax)
      throw new SqlError(
        '53400',
        `temporary files of this process would hold more than ${this.bytesMax} bytes`,
      );
    this.bytes += bytes;
    this.writtenBytes += bytes;
  }

  release(bytes: number): void {
    this.bytes -= bytes;
  }
}

/** Grows at its end; what was written may be read anywhere. */
export class SpillFile {
  private readonly file: DiskFile;
  private readonly space: SpillSpace;
  private end = 0;
  private closed = false;

  constructor(file: DiskFile, space: SpillSpace) {
    this.file = file;
    this.space = space;
  }

  /** @returns where it is. Throws 53100, 53400, 58030: then the file is of no use any more */
  async append(bytes: Uint8Array): Promise<number> {
    this.space.take(bytes.length);
    const at = this.end;
    this.end += bytes.length;
    await onDisk(() => this.file.write(at, bytes));
    return at;
  }

  /** Throws 58030. */
  read(at: number, length: number): Uint8Array {
    try {
      return this.file.readSync(at, length);
    } catch (error) {
      throw failure(error);
    }
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.space.release(this.end);
    await this.file.close();
  }
}

async function onDisk<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw failure(error);
  }
}

function failure(error: unknown): unknown {
  if (error instanceof SqlError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const { code } = error as { readonly code?: unknown };
  return code === 'ENOSPC' || code === 'EDQUOT'
    ? new SqlError('53100', `could not write to a temporary file: ${text}`)
    : new SqlError('58030', `a temporary file failed: ${text}`);
}
