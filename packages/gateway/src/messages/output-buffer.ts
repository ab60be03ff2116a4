/**
 * The bytes of the next write to one peer. Messages are encoded straight into it: reserve a header, fill, patch the
 * length. Grows by doubling; `take` hands the bytes over and, if the socket did not keep them, gets the memory back.
 */
import { assert } from '@flotilla/base';

const initialBytes = 4 * 1024;
/** Memory above this is not kept for the next write. */
const keptBytesMax = 128 * 1024;

export class OutputBuffer {
  bytes: Buffer = Buffer.allocUnsafeSlow(initialBytes);
  /** Bytes encoded so far. Encoders advance it after `ensure`. */
  length = 0;

  /** Makes room for `count` more bytes. `bytes` may be another buffer afterwards. */
  ensure(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  /** Begins a message. Returns where its length goes; give that to `endMessage`. */
  beginMessage(type: number): number {
    this.ensure(5);
    this.bytes[this.length] = type;
    this.length += 5;
    return this.length - 4;
  }

  endMessage(lengthAt: number): void {
    const length = this.length - lengthAt;
    assert(length >= 4 && length < 0x7fff_ffff, 'a message length fits int32', { length });
    this.putInt32(lengthAt, length);
  }

  /** Overwrites four bytes that have been reserved. */
  putInt32(at: number, value: number): void {
    const { bytes } = this;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
  }

  writeByte(value: number): void {
    this.ensure(1);
    this.bytes[this.length++] = value;
  }

  writeInt16(value: number): void {
    this.ensure(2);
    this.bytes[this.length] = value >>> 8;
    this.bytes[this.length + 1] = value;
    this.length += 2;
  }

  writeInt32(value: number): void {
    this.ensure(4);
    this.putInt32(this.length, value);
    this.length += 4;
  }

  writeBytes(value: Uint8Array): void {
    this.ensure(value.length);
    this.bytes.set(value, this.length);
    this.length += value.length;
  }

  /** UTF-8, no terminator. Returns the number of bytes. */
  writeText(value: string): number {
    const { length } = value;
    this.ensure(length * 3);
    const { bytes } = this;
    const start = this.length;
    if (length <= 24) {
      // Short ASCII, the common case, costs less here than a call into the runtime.
      let at = 0;
      for (; at < length; at++) {
        const unit = value.charCodeAt(at);
        if (unit > 0x7f) break;
        bytes[start + at] = unit;
      }
      if (at === length) {
        this.length = start + length;
        return length;
      }
    }
    const written = bytes.write(value, start, 'utf8');
    this.length = start + written;
    return written;
  }

  /** UTF-8 and a zero byte. A zero inside would end the string early for the peer: it is left out. */
  writeCString(value: string): void {
    this.writeText(value.includes('\0') ? value.replaceAll('\0', '') : value);
    this.writeByte(0);
  }

  /** Hands over what is encoded. Call `recycle` afterwards if the receiver has no further use for the memory. */
  take(): Buffer {
    const taken = this.bytes.subarray(0, this.length);
    this.length = 0;
    return taken;
  }

  /** The receiver of `take` still holds the memory, or does not. */
  settle(receiverHoldsMemory: boolean): void {
    if (receiverHoldsMemory || this.bytes.length > keptBytesMax) {
      this.bytes = Buffer.allocUnsafeSlow(initialBytes);
    }
  }
}
