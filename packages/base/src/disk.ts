/**
 * Files, as the write-ahead log and the identity file need them. Two twins pass one conformance suite: `NodeDisk` on
 * the operating system, `MemoryDisk` (`@flotilla/base/testing`), which can lose unsynced data, tear writes, flip bits,
 * fill up, fail and stall. Any rejected write or sync means the file is in an unknown state: the caller must not go on
 * with it (PostgreSQL's fsyncgate; LevelDB's lost writes after ENOSPC).
 */

export interface DiskFile {
  /** Reads exactly `length` bytes at `offset`, synchronously (page cache). Throws if the file is shorter. */
  readSync(offset: number, length: number): Uint8Array;
  /** Writes all bytes at `offset`. The bytes must not change until it resolves. Not durable until `datasync`. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Makes every completed write durable, and the size if it changed. */
  datasync(): Promise<void>;
  /** Write, then datasync, in one call: what the log does once per batch. */
  writeAndSync(offset: number, bytes: Uint8Array): Promise<void>;
  truncate(length: number): Promise<void>;
  size(): number;
  close(): Promise<void>;
}

export interface Disk {
  /** Opens for reading and writing; `create` makes an empty file (and fails if it exists). */
  open(path: string, mode: 'create' | 'existing'): Promise<DiskFile>;
  /** Whole content of a small file, or undefined if there is none. */
  readFile(path: string): Promise<Uint8Array | undefined>;
  /** Replaces a small file so that after a crash there is either the old or the new content: temporary file, sync,
   *  rename, sync of the directory. Resolves when durable. */
  replaceFile(path: string, bytes: Uint8Array): Promise<void>;
  /** Names in a directory, sorted; [] if it does not exist. */
  list(directory: string): Promise<string[]>;
  makeDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes creates, renames and removes in this directory durable. */
  syncDirectory(directory: string): Promise<void>;
  /** Takes the directory for this process, until `release` or the end of the process, however it ends. Undefined if a
   *  living process (this one included) holds it. */
  lock(directory: string): Promise<DirectoryLock | undefined>;
}

export interface DirectoryLock {
  release(): Promise<void>;
}
