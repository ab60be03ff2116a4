/**
 * Bytes from the peer, cut into messages. A chunk that begins at a message boundary is used where it lies; only a
 * message that spans chunks is copied, into a buffer that doubles, so that the cost is linear in the bytes received
 * whatever their split. Knows lengths, not meanings.
 */

const empty = Buffer.alloc(0);
/** A buffer that grew beyond this is let go once it is empty. */
const keptBytesMax = 64 * 1024;

export class FrameBuffer {
  /** The bytes. Those in [start, end) are not consumed yet. Views die with the next `append`. */
  bytes: Buffer = empty;
  start = 0;
  end = 0;
  /** Whether `bytes` was allocated here and may be written to. */
  private owned = false;

  /** Unconsumed bytes. */
  get length(): number {
    return this.end - this.start;
  }

  append(chunk: Buffer): void {
    const held = this.end - this.start;
    if (held === 0) {
      this.bytes = chunk;
      this.start = 0;
      this.end = chunk.length;
      this.owned = false;
      return;
    }
    const needed = held + chunk.length;
    if (this.owned && this.end + chunk.length <= this.bytes.length) {
      chunk.copy(this.bytes, this.end);
      this.end += chunk.length;
      return;
    }
    if (this.owned && needed * 2 <= this.bytes.length) {
      this.bytes.copyWithin(0, this.start, this.end);
    } else {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed * 2, 4096));
      this.bytes.copy(grown, 0, this.start, this.end);
      this.bytes = grown;
      this.owned = true;
    }
    this.start = 0;
    chunk.copy(this.bytes, held);
    this.end = needed;
  }

  /** Drops `count` bytes from the front. */
  consume(count: number): void {
    this.start += count;
  }

  /** Lets go of a large buffer that has been used up. Call when no view of it is needed any more. */
  shrink(): void {
    if (this.start === this.end && this.bytes.length > keptBytesMax) this.clear();
  }

  clear(): void {
    this.bytes = empty;
    this.start = 0;
    this.end = 0;
    this.owned = false;
  }
}
