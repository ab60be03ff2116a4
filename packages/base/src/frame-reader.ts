/**
 * Turns frames back into messages, putting large messages together again from their pieces. One per listener. Pieces
 * may be lost, doubled or late: what stays incomplete is dropped after a while, and memory is bounded per sender and in
 * total by dropping the oldest. Never throws on what it is given; it does not check who sent it or for which cluster.
 */
import type { Clock, Timer } from './clock.ts';
import { decodeFrame, type Fragment, type FrameHeader, pieceBytes, senderKey } from './frame.ts';

export type ReadResult =
  | { readonly ok: true; readonly header: FrameHeader; readonly messages: Uint8Array[] }
  | { readonly ok: false; readonly reason: string };

export interface FrameReaderOptions {
  readonly clock: Clock;
  /** A message none of whose pieces has come for this long is given up. Default: 10 s. */
  readonly pieceTimeoutMs?: number;
  /** Incomplete messages of one sender, in bytes when complete. Default: 32 MiB, two of the largest. */
  readonly senderBytesMax?: number;
  /** Incomplete messages of all senders. Default: 128 MiB. */
  readonly totalBytesMax?: number;
}

interface Partial {
  readonly key: string;
  readonly sender: string;
  readonly bytes: Buffer;
  readonly pieces: number;
  readonly have: Uint8Array;
  missing: number;
  lastPieceAtMs: number;
}

export class FrameReader {
  private readonly clock: Clock;
  private readonly pieceTimeoutMs: number;
  private readonly senderBytesMax: number;
  private readonly totalBytesMax: number;
  /** In order of their latest piece: the first is the one to drop. */
  private readonly partials = new Map<string, Partial>();
  private readonly bytesBySender = new Map<string, number>();
  private totalBytes = 0;
  private timer: Timer | undefined;

  constructor(options: FrameReaderOptions) {
    this.clock = options.clock;
    this.pieceTimeoutMs = options.pieceTimeoutMs ?? 10_000;
    this.senderBytesMax = options.senderBytesMax ?? 32 * 1024 * 1024;
    this.totalBytesMax = options.totalBytesMax ?? 128 * 1024 * 1024;
  }

  /**
   * @returns the frame's messages as slices of it; a piece that completes a message gives that one, any other piece
   * none. `ok: false` for bytes that are not a frame.
   */
  read(frame: Uint8Array): ReadResult {
    const decoded = decodeFrame(frame);
    if (!decoded.ok || decoded.kind === 'whole') return decoded;
    return this.readFragment(decoded.header, decoded.fragment);
  }

  /** Bytes held for incomplete messages. */
  get pendingBytes(): number {
    return this.totalBytes;
  }

  /** Forgets what is incomplete and stops its timer. */
  close(): void {
    for (const partial of [...this.partials.values()]) this.drop(partial);
    this.timer?.cancel();
    this.timer = undefined;
  }

  private readFragment(header: FrameHeader, fragment: Fragment): ReadResult {
    const sender = senderKey(header.sender);
    const key = `${sender} ${fragment.messageNumber}`;
    let partial = this.partials.get(key);
    if (partial !== undefined && !sameShape(partial, fragment)) {
      this.drop(partial);
      partial = undefined;
    }
    if (partial === undefined) {
      const room = this.makeRoom(sender, fragment.totalBytes);
      if (!room) return { ok: false, reason: 'message larger than its sender may have under way' };
      partial = this.open(key, sender, fragment);
    }
    partial.lastPieceAtMs = this.clock.nowMs();
    this.partials.delete(key); // and back in at the end: the order of dropping
    this.partials.set(key, partial);
    if (partial.have[fragment.piece] === 1) return { ok: true, header, messages: [] };
    partial.have[fragment.piece] = 1;
    partial.missing--;
    const each = pieceBytes(fragment.totalBytes, fragment.pieces);
    partial.bytes.set(fragment.bytes, fragment.piece * each);
    if (partial.missing > 0) {
      this.armTimer();
      return { ok: true, header, messages: [] };
    }
    this.drop(partial);
    return { ok: true, header, messages: [partial.bytes] };
  }

  private open(key: string, sender: string, fragment: Fragment): Partial {
    const { totalBytes, pieces } = fragment;
    this.totalBytes += totalBytes;
    this.bytesBySender.set(sender, (this.bytesBySender.get(sender) ?? 0) + totalBytes);
    return {
      key,
      sender,
      bytes: Buffer.allocUnsafeSlow(totalBytes), // handed out only when every byte is written
      pieces,
      have: new Uint8Array(pieces),
      missing: pieces,
      lastPieceAtMs: 0,
    };
  }

  private makeRoom(sender: string, bytes: number): boolean {
    if (bytes > this.senderBytesMax || bytes > this.totalBytesMax) return false;
    if ((this.bytesBySender.get(sender) ?? 0) + bytes > this.senderBytesMax) {
      for (const partial of [...this.partials.values()]) {
        if (partial.sender !== sender) continue;
        this.drop(partial);
        if ((this.bytesBySender.get(sender) ?? 0) + bytes <= this.senderBytesMax) break;
      }
    }
    while (this.totalBytes + bytes > this.totalBytesMax) {
      const [oldest] = this.partials.values();
      if (oldest === undefined) return false;
      this.drop(oldest);
    }
    return true;
  }

  private drop(partial: Partial): void {
    this.partials.delete(partial.key);
    this.totalBytes -= partial.bytes.length;
    const left = (this.bytesBySender.get(partial.sender) ?? 0) - partial.bytes.length;
    if (left > 0) this.bytesBySender.set(partial.sender, left);
    else this.bytesBySender.delete(partial.sender);
  }

  private armTimer(): void {
    if (this.timer !== undefined) return;
    this.timer = this.clock.setTimer(this.pieceTimeoutMs, () => {
      this.timer = undefined;
      const limit = this.clock.nowMs() - this.pieceTimeoutMs;
      for (const partial of this.partials.values()) {
        if (partial.lastPieceAtMs > limit) break;
        this.drop(partial);
      }
      if (this.partials.size > 0) this.armTimer();
    });
  }
}

function sameShape(partial: Partial, fragment: Fragment): boolean {
  return partial.pieces === fragment.pieces && partial.bytes.length === fragment.totalBytes;
}
