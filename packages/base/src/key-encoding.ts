/**
 * Order-preserving encoding of typed values into key bytes: comparing two encodings as unsigned bytes compares the
 * values, and no encoding is a prefix of another, so that encodings concatenate into composite keys. SQL rows and
 * indexes are keyed with it; nothing here knows of tables. Readers throw DbError CORRUPTION on bytes that no writer made.
 *
 *   28 bytes ‖ 00 01        text (UTF-8) and byte strings; a 00 inside is written 00 ff
 *   30 8 bytes              float8: NaN above +Infinity, -0 the same as 0
 *   38..3f n bytes          integer < -64 in n = 40 - tag bytes, two's complement, big-endian
 *   40..bf                  integer -64..63: tag - 80
 *   c0..c7 n bytes          integer > 63 in n = tag - bf bytes, big-endian
 *   f8                      NULL: above every value, as PostgreSQL's ascending order has it
 */
import { asBuffer } from './bytes.ts';
import { DbError } from './errors.ts';

const bytesTag = 0x28;
const floatTag = 0x30;
const integerZero = 0x80;
const integerSmallMax = 63;
const integerSmallMin = -64;
const nullTag = 0xf8;
const escapedZero = 0xff;
const terminator = 0x01;

/** Builds one key at a time in a buffer that it reuses. Not re-entrant: `finish` before another key is begun. */
export class KeyWriter {
  private buffer: Buffer = Buffer.allocUnsafe(256);
  private length = 0;

  /** Starts a key anew, with these bytes as they are. */
  begin(prefix: Uint8Array): this {
    this.length = 0;
    return this.raw(prefix);
  }

  /** Appends bytes as they are. */
  raw(bytes: Uint8Array): this {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  null(): this {
    return this.byte(nullTag);
  }

  boolean(value: boolean): this {
    return this.byte(value ? integerZero + 1 : integerZero);
  }

  /** Any integer in [-2^63, 2^63). Equal integers give equal bytes whether passed as number or bigint. */
  integer(value: number | bigint): this {
    if (typeof value === 'bigint') {
      const narrow = Number(value);
      if (!Number.isSafeInteger(narrow)) return this.wideInteger(value);
      return this.safeInteger(narrow);
    }
    return this.safeInteger(value);
  }

  float(value: number): this {
    this.reserve(9);
    this.buffer[this.length] = floatTag;
    const at = this.length + 1;
    this.buffer.writeDoubleBE(Number.isNaN(value) ? Number.NaN : value + 0, at); // -0 + 0 is 0
    if ((this.buffer[at] ?? 0) & 0x80) {
      for (let i = at; i < at + 8; i++) this.buffer[i] = ~(this.buffer[i] ?? 0);
    } else {
      this.buffer[at] = (this.buffer[at] ?? 0) | 0x80;
    }
    this.length += 9;
    return this;
  }

  text(value: string): this {
    const most = value.length * 3;
    this.reserve(most + 3);
    this.buffer[this.length++] = bytesTag;
    if (value.includes('\0')) return this.escaped(Buffer.from(value, 'utf8'));
    this.length += this.buffer.write(value, this.length, 'utf8');
    this.buffer[this.length++] = 0;
    this.buffer[this.length++] = terminator;
    return this;
  }

  bytes(value: Uint8Array): this {
    return this.byte(bytesTag).escaped(value);
  }

  /** A copy of what was written since `begin`. */
  finish(): Uint8Array {
    const key = new Uint8Array(this.length);
    key.set(this.buffer.subarray(0, this.length));
    return key;
  }

  private escaped(value: Uint8Array): this {
    this.reserve(value.length * 2 + 2);
    for (const byte of value) {
      this.buffer[this.length++] = byte;
      if (byte === 0) this.buffer[this.length++] = escapedZero;
    }
    this.buffer[this.length++] = 0;
    this.buffer[this.length++] = terminator;
    return this;
  }

  private safeInteger(value: number): this {
    if (!Number.isSafeInteger(value)) throw new RangeError(`key integer is safe: ${value}`);
    if (value >= integerSmallMin && value <= integerSmallMax) return this.byte(integerZero + value);
    const magnitude = value < 0 ? -value - 1 : value;
    let width = 1;
    for (let rest = Math.floor(magnitude / 256); rest > 0; rest = Math.floor(rest / 256)) width++;
    this.reserve(9);
    this.buffer[this.length++] = value < 0 ? 0x40 - width : 0xbf + width;
    let rest = magnitude;
    for (let i = this.length + width - 1; i >= this.length; i--) {
      const byte = rest % 256;
      this.buffer[i] = value < 0 ? 255 - byte : byte;
      rest = (rest - byte) / 256;
    }
    this.length += width;
    return this;
  }

  /** Beyond the safe integers: seven or eight bytes. */
  private wideInteger(value: bigint): this {
    if (BigInt.asIntN(64, value) !== value)
      throw new RangeError(`key integer has 64 bits: ${value}`);
    const magnitude = value < 0n ? -value - 1n : value;
    const width = magnitude >> 56n === 0n ? 7 : 8;
    this.reserve(17);
    this.buffer.writeBigInt64BE(value, this.length + 9);
    this.buffer[this.length++] = value < 0n ? 0x40 - width : 0xbf + width;
    this.buffer.copyWithin(this.length, this.length + 16 - width, this.length + 16);
    this.length += width;
    return this;
  }

  private byte(value: number): this {
    this.reserve(1);
    this.buffer[this.length++] = value;
    return this;
  }

  private reserve(more: number): void {
    if (this.length + more <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.length + more));
    this.buffer.copy(larger, 0, 0, this.length);
    this.buffer = larger;
  }
}

/** Reads the values of one key in the order in which they were written. */
export class KeyReader {
  private readonly key: Buffer;
  private at: number;

  constructor(key: Uint8Array, offset: number) {
    this.key = asBuffer(key);
    this.at = offset;
  }

  /** Offset of the next unread byte. */
  get offset(): number {
    return this.at;
  }

  /** True, and moves on, if the next value is NULL. */
  takeNull(): boolean {
    if (this.key[this.at] !== nullTag) return false;
    this.at++;
    return true;
  }

  boolean(): boolean {
    const value = this.integer();
    if (value !== 0 && value !== 1) throw this.corrupt('boolean');
    return value === 1;
  }

  /** An integer that must be safe: what was written for int2 and int4 columns. */
  integer(): number {
    const tag = this.next('integer');
    if (tag >= 0x40 && tag <= 0xbf) return tag - integerZero;
    const negative = tag >= 0x38 && tag < 0x40;
    if (!negative && (tag < 0xc0 || tag > 0xc7)) throw this.corrupt('integer');
    const width = negative ? 0x40 - tag : tag - 0xbf;
    if (this.at + width > this.key.length) throw this.corrupt('integer');
    let magnitude = 0;
    for (let i = 0; i < width; i++) {
      const byte = this.key[this.at++] ?? 0;
      magnitude = magnitude * 256 + (negative ? 255 - byte : byte);
    }
    const value = negative ? -magnitude - 1 : magnitude;
    if (!Number.isSafeInteger(value)) throw this.corrupt('integer');
    return value;
  }

  /** An integer of 64 bits. */
  bigInteger(): bigint {
    const tag = this.key[this.at] ?? 0;
    const width = tag < 0x40 ? 0x40 - tag : tag - 0xbf;
    if (width < 7 || (tag >= 0x40 && tag <= 0xbf)) return BigInt(this.integer());
    if (width > 8 || this.at + 1 + width > this.key.length) throw this.corrupt('integer');
    let value = tag < 0x40 ? -1n : 0n;
    for (let i = 1; i <= width; i++) value = (value << 8n) | BigInt(this.key[this.at + i] ?? 0);
    if (BigInt.asIntN(64, value) !== value) throw this.corrupt('integer');
    this.at += 1 + width;
    return value;
  }

  float(): number {
    if (this.next('float') !== floatTag || this.at + 8 > this.key.length)
      throw this.corrupt('float');
    const bits = Buffer.from(this.key.subarray(this.at, this.at + 8));
    this.at += 8;
    if ((bits[0] ?? 0) & 0x80) bits[0] = (bits[0] ?? 0) & 0x7f;
    else for (let i = 0; i < 8; i++) bits[i] = ~(bits[i] ?? 0);
    return bits.readDoubleBE(0);
  }

  text(): string {
    if (this.next('text') !== bytesTag) throw this.corrupt('text');
    const end = this.key.indexOf(0, this.at);
    if (end >= 0 && this.key[end + 1] === terminator) {
      const value = this.key.toString('utf8', this.at, end);
      this.at = end + 2;
      return value;
    }
    return asBuffer(this.unescape()).toString('utf8');
  }

  bytes(): Uint8Array {
    if (this.next('bytes') !== bytesTag) throw this.corrupt('bytes');
    return this.unescape();
  }

  private unescape(): Uint8Array {
    const value = new Uint8Array(this.key.length - this.at);
    let length = 0;
    for (;;) {
      const byte = this.next('bytes');
      if (byte !== 0) {
        value[length++] = byte;
        continue;
      }
      const mark = this.next('bytes');
      if (mark === terminator) return value.slice(0, length);
      if (mark !== escapedZero) throw this.corrupt('bytes');
      value[length++] = 0;
    }
  }

  private next(what: string): number {
    const byte = this.key[this.at];
    if (byte === undefined) throw this.corrupt(what);
    this.at++;
    return byte;
  }

  private corrupt(what: string): DbError {
    return new DbError(
      'CORRUPTION',
      `key holds no ${what} at byte ${this.at}: ${this.key.toString('hex')}`,
    );
  }
}
