/**
 * Where messages wait for the end of the turn: everything for one destination leaves as one frame. A frame that is full
 * leaves at once; a message that does not fit into a frame leaves in pieces. Keeps the order of messages per
 * destination. The only caller of `Transport.send` in product code. Holds nothing longer than a turn.
 */
import { assert } from './assert.ts';
import type { Clock } from './clock.ts';
import {
  encodeFragment,
  encodeFrame,
  type FrameHeader,
  fragmentOverheadBytes,
  frameHeaderBytes,
  messageBytesMax,
  messageOverheadBytes,
  pieceBytes,
} from './frame.ts';
import { type Address, frameBytesMax, type Transport } from './transport.ts';

/** A header with the longest client id: what a frame must leave room for. */
const headerBytesMax = 96;
const bodyBytesMax = frameBytesMax - headerBytesMax;
/** Clients come and go; their empty buffers are let go when there are more than this. */
const destinationsMax = 4096;

interface Destination {
  readonly to: Address;
  readonly messages: Uint8Array[];
  bytes: number;
  /** In the list of those to flush at the end of the turn. */
  queued: boolean;
}

/** Outboxes that share a transport share a sender, and message numbers must be unique per sender. */
const messageNumbers = new WeakMap<Transport, { next: number }>();

export interface OutboxOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  /** Asked once per frame. */
  readonly header: () => FrameHeader;
}

export class Outbox {
  private readonly transport: Transport;
  private readonly clock: Clock;
  private readonly header: () => FrameHeader;
  private readonly stores = {
    raft: new Map<number, Destination>(),
    kv: new Map<number, Destination>(),
    bulk: new Map<number, Destination>(),
  };
  private readonly clients = new Map<string, Destination>();
  private readonly allStores: Destination = newDestination({ kind: 'all-stores' });
  private readonly numbers: { next: number };
  private queue: Destination[] = [];
  private spareQueue: Destination[] = [];
  private flushScheduled = false;
  private readonly flushAtEndOfTurn = (): void => {
    this.flushScheduled = false;
    this.flush();
  };

  constructor(options: OutboxOptions) {
    this.transport = options.transport;
    this.clock = options.clock;
    this.header = options.header;
    let numbers = messageNumbers.get(options.transport);
    if (numbers === undefined) {
      // A restarted process must not reuse the numbers of its earlier life.
      numbers = { next: Math.max(0, Math.floor(options.clock.wallMs())) * 4096 };
      messageNumbers.set(options.transport, numbers);
    }
    this.numbers = numbers;
  }

  /** The bytes must not change until they have left. At most `messageBytesMax` of them. */
  enqueue(to: Address, message: Uint8Array): void {
    assert(message.length <= messageBytesMax, 'message is within its limit', {
      length: message.length,
    });
    const destination = this.destinationOf(to);
    const needs = messageOverheadBytes + message.length;
    if (destination.bytes + needs > bodyBytesMax) {
      this.sendPending(destination);
      if (needs > bodyBytesMax) {
        this.sendInPieces(to, message);
        return;
      }
    }
    destination.messages.push(message);
    destination.bytes += needs;
    if (destination.queued) return;
    destination.queued = true;
    this.queue.push(destination);
    if (this.flushScheduled) return;
    this.flushScheduled = true;
    this.clock.afterTurn(this.flushAtEndOfTurn);
  }

  /** Sends everything that waits, now. */
  flush(): void {
    const due = this.queue;
    this.queue = this.spareQueue;
    for (const destination of due) {
      destination.queued = false;
      this.sendPending(destination);
    }
    due.length = 0;
    this.spareQueue = due;
    if (this.clients.size > destinationsMax) {
      for (const [id, client] of this.clients) if (!client.queued) this.clients.delete(id);
    }
  }

  private destinationOf(to: Address): Destination {
    switch (to.kind) {
      case 'store': {
        const stores = this.stores[to.channel];
        let destination = stores.get(to.storeId);
        if (destination === undefined) {
          destination = newDestination(to);
          stores.set(to.storeId, destination);
        }
        return destination;
      }
      case 'client': {
        let destination = this.clients.get(to.clientId);
        if (destination === undefined) {
          destination = newDestination(to);
          this.clients.set(to.clientId, destination);
        }
        return destination;
      }
      case 'all-stores':
        return this.allStores;
    }
  }

  private sendPending(destination: Destination): void {
    if (destination.messages.length === 0) return;
    const frame = encodeFrame(this.header(), destination.messages);
    destination.messages.length = 0;
    destination.bytes = 0;
    this.transport.send(destination.to, frame);
  }

  private sendInPieces(to: Address, message: Uint8Array): void {
    const header = this.header();
    const room = frameBytesMax - frameHeaderBytes(header) - fragmentOverheadBytes;
    const pieces = Math.max(2, Math.ceil(message.length / room));
    const each = pieceBytes(message.length, pieces);
    const messageNumber = this.numbers.next++;
    for (let piece = 0; piece < pieces; piece++) {
      const bytes = message.subarray(piece * each, (piece + 1) * each);
      const fragment = { messageNumber, piece, pieces, totalBytes: message.length, bytes };
      this.transport.send(to, encodeFragment(header, fragment));
    }
  }
}

function newDestination(to: Address): Destination {
  return { to, messages: [], bytes: 0, queued: false };
}
