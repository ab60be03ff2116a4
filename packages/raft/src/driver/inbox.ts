/**
 * Messages of peers that wait for the next turn, bounded in bytes per peer store: one that floods this store loses its own
 * messages, not those of others. What is dropped is as if the network had lost it.
 */
import type { Logger, StoreId } from '@flotilla/base';
import { isStoreMessage, type PeerMessage } from '../store-messages.ts';

export interface Received {
  readonly from: StoreId;
  readonly message: PeerMessage;
}

/** What a message takes beside its entries: objects and the frame that it keeps alive. Unit: bytes. */
const messageBytes = 256;

export class Inbox {
  private readonly bytesPerStoreMax: number;
  private readonly logger: Logger;
  private waiting: Received[] = [];
  private readonly bytes = new Map<StoreId, number>();
  private droppedCount = 0;

  constructor(bytesPerStoreMax: number, logger: Logger) {
    this.bytesPerStoreMax = bytesPerStoreMax;
    this.logger = logger;
  }

  /** Messages that were dropped since the driver began. */
  get dropped(): number {
    return this.droppedCount;
  }

  add(from: StoreId, messages: readonly PeerMessage[]): void {
    let bytes = this.bytes.get(from) ?? 0;
    for (const message of messages) {
      // Store-level heartbeats are few, and silence would cost all groups of the pair.
      if (bytes >= this.bytesPerStoreMax && !isStoreMessage(message)) {
        this.drop(from);
        continue;
      }
      bytes += messageBytes;
      if (message.kind === 'appendEntriesRequest')
        for (const entry of message.entries) bytes += entry.data.length;
      this.waiting.push({ from, message });
    }
    this.bytes.set(from, bytes);
  }

  /** Everything, in the order of arrival. */
  take(): readonly Received[] {
    const { waiting } = this;
    if (waiting.length === 0) return waiting;
    this.waiting = [];
    this.bytes.clear();
    return waiting;
  }

  private drop(from: StoreId): void {
    if (this.droppedCount++ % 10_000 === 0)
      this.logger.warn({ from, dropped: this.droppedCount }, 'raft_inbox_full');
  }
}
