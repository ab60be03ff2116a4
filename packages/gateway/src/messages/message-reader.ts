/**
 * Reads the body of one message. Every read is checked against the body's end, and `end()` that nothing is left over.
 * Bad bodies throw SqlError 08P01 (the frame itself was sound, so the connection stays in step), text that is not
 * UTF-8 22021. Lives as long as its connection; the bytes it points at only as long as one message.
 */
import { isUtf8 } from 'node:buffer';
import { SqlError } from '@flotilla/sql';

const none = Buffer.alloc(0);
/** Strings below this are looked at here. */
const shortBytes = 32;

export class MessageReader {
  private bytes: Buffer = none;
  private at = 0;
  private limit = 0;

  /** Points at the body [start, end) of `bytes`. */
  reset(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes;
    this.at = start;
    this.limit = end;
  }

  /** Lets go of the bytes. */
  release(): void {
    this.bytes = none;
    this.at = 0;
    this.limit = 0;
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.limit - this.at;
  }

  byte(): number {
    this.need(1);
    return this.bytes[this.at++] as number;
  }

  /** Counts are unsigned: 65,535 parameters are legal. */
  uint16(): number {
    this.need(2);
    const at = this.at;
    this.at = at + 2;
    return ((this.bytes[at] as number) << 8) | (this.bytes[at + 1] as number);
  }

  int32(): number {
    this.need(4);
    const { bytes, at } = this;
    this.at = at + 4;
    return (
      ((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)
    );
  }

  uint32(): number {
    return this.int32() >>> 0;
  }

  /** A string that ends with a zero byte. */
  cString(): string {
    const { bytes, at: start } = this;
    // Names are mostly short ASCII, which is found here and is the same in Latin-1: no view of it, no check in native code.
    const most = Math.min(this.limit, start + shortBytes);
    let end = start;
    while (end < most && ((bytes[end] as number) - 1) >>> 0 < 0x7f) end++;
    if (end < most && bytes[end] === 0) {
      this.at = end + 1;
      return end === start ? '' : bytes.toString('latin1', start, end);
    }
    end = bytes.indexOf(0, end);
    if (end < 0 || end >= this.limit) throw invalid('string is not terminated');
    this.at = end + 1;
    return decodeUtf8(bytes.subarray(start, end));
  }

  /** A view of the next `length` bytes; dies with the message. */
  view(length: number): Buffer {
    this.need(length);
    const start = this.at;
    this.at = start + length;
    return this.bytes.subarray(start, this.at);
  }

  /** Checks that the body has been read to its end. */
  end(): void {
    if (this.at !== this.limit) throw invalid('message has bytes left over');
  }

  private need(count: number): void {
    if (this.limit - this.at < count) throw invalid('insufficient data left in message');
  }
}

/** Decodes text from outside. Throws SqlError 22021 on bytes that are not UTF-8. */
export function decodeUtf8(bytes: Buffer): string {
  if (!isUtf8(bytes)) {
    throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8"');
  }
  return bytes.toString('utf8');
}

export function invalid(what: string): SqlError {
  return new SqlError('08P01', `invalid message format: ${what}`);
}
