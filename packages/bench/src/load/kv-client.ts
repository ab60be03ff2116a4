/** What the key-value load asks of a client, whatever the system behind it. */

export interface KvClient {
  /** Resolves when the write is durable. @param timeoutMs it fails when that is over; default: the system's own */
  put(key: Buffer, value: Buffer, timeoutMs?: number): Promise<void>;
  /** A linearizable read; true if there is a value. */
  get(key: Buffer): Promise<boolean>;
  /** As `get`; the value's version, undefined if there is none. */
  version(key: Buffer): Promise<number | undefined>;
  /** Writes if the version is still that. @returns whether it was written */
  putIfVersion(key: Buffer, value: Buffer, version: number): Promise<boolean>;
  /** Reads up to `limit` entries with their values, in key order from `start` on. @returns how many */
  scan(start: Buffer, limit: number): Promise<number>;
  close(): Promise<void>;
}
