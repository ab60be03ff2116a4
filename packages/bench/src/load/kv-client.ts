/** What the key-value load asks of a client, whatever the system behind it. */

export interface KvClient {
  /** Resolves when the write is durable. */
  put(key: Buffer, value: Buffer): Promise<void>;
  /** A linearizable read; true if there is a value. */
  get(key: Buffer): Promise<boolean>;
  close(): Promise<void>;
}
