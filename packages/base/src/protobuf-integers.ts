/**
 * 64-bit integers of protobuf messages as plain JS numbers, without an object per number. protobufjs makes a pair of halves
 * for every one that it reads or writes; a message of a put has a dozen, and they were the largest part of what a store
 * allocated. Called once by every module of generated code (`scripts/patch-protobuf.mjs`).
 */
import { assert } from './assert.ts';

/** What is used of protobufjs' readers; `pos` and `len` are offsets in `buf`. */
interface Reader {
  readonly buf: Uint8Array;
  readonly len: number;
  pos: number;
}

/** What is used of its writers: `pos` is where the next byte of `buf` goes, after `_reserve` of so many. */
interface Writer {
  readonly buf: Uint8Array;
  pos: number;
  _reserve(bytes: number): void;
  uint32(value: number): this;
}

type WriteInteger = (this: Writer, value: number) => Writer;

/** The part of `protobufjs/minimal` that is changed here. */
export interface Protobuf {
  readonly util: { Long: unknown };
  configure(): void;
  readonly Reader: { readonly prototype: object };
  readonly Writer: { readonly prototype: object };
}

const two28 = 2 ** 28;
const two32 = 2 ** 32;

/**
 * From now on `int64` is a number: exact if it is a safe integer, otherwise the nearest double. Idempotent. protobufjs would
 * give objects as soon as the package `long` can be found.
 */
export function plainIntegers(protobuf: Protobuf): void {
  protobuf.util.Long = null;
  protobuf.configure();
  const reader = protobuf.Reader.prototype as Record<string, unknown>;
  const writer = protobuf.Writer.prototype as Record<string, unknown>;
  assert(typeof reader.int64 === 'function', 'readers have int64');
  assert(typeof writer._reserve === 'function', 'writers reserve bytes as they did');
  reader.int64 = readInt64;
  // What it does with negative numbers is kept.
  if (writer.int64 !== writeOf.get(writer)) {
    const write = withoutHalves(writer.int64 as WriteInteger);
    writeOf.set(writer, write);
    writer.int64 = write;
  }
}

/** By prototype: what was put there. */
const writeOf = new WeakMap<object, WriteInteger>();

function readInt64(this: Reader): number {
  const { buf, len } = this;
  let at = this.pos;
  let low = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    if (at >= len) throw cutOff(this);
    const byte = buf[at++] as number;
    low |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      this.pos = at;
      return low;
    }
  }
  let middle = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    if (at >= len) throw cutOff(this);
    const byte = buf[at++] as number;
    middle |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      this.pos = at;
      return low + middle * two28;
    }
  }
  this.pos = at;
  return beyond56Bits(this, low, middle);
}

/** The last two bytes of a varint whose first eight hold `low` and `middle`. */
function beyond56Bits(reader: Reader, low: number, middle: number): number {
  const { buf, len } = reader;
  let high = 0;
  for (let shift = 0; shift < 14; shift += 7) {
    if (reader.pos >= len) throw cutOff(reader);
    const byte = buf[reader.pos++] as number;
    high |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      const low32 = (low | (middle << 28)) >>> 0;
      const high32 = ((middle >>> 4) | (high << 24)) >>> 0;
      if (high32 < 0x8000_0000) return low32 + high32 * two32;
      // Two's complement, half by half: the nearest double of the whole is that of its negative, negated.
      const negated = (~low32 + 1) >>> 0;
      return -(negated + ((negated === 0 ? ~high32 + 1 : ~high32) >>> 0) * two32);
    }
  }
  throw new Error('invalid varint encoding');
}

function cutOff({ pos, len }: Reader): RangeError {
  return new RangeError(`index out of range: ${pos} > ${len}`);
}

function withoutHalves(writeAny: WriteInteger): WriteInteger {
  return function writeInteger(this: Writer, value: number): Writer {
    if (typeof value !== 'number' || !(value >= 0 && value <= Number.MAX_SAFE_INTEGER))
      return writeAny.call(this, value);
    if (value < two32) return this.uint32(value);
    this._reserve(8);
    const { buf } = this;
    let at = this.pos;
    let low = value % two28;
    let rest = Math.floor(value / two28);
    for (let i = 0; i < 4; i++) {
      buf[at++] = (low & 0x7f) | 0x80;
      low >>>= 7;
    }
    while (rest >= 0x80) {
      buf[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buf[at++] = rest;
    this.pos = at;
    return this;
  };
}
