/**
 * Rows as bytes and back, exactly: for files that the same process reads again, so the format is nobody else's business.
 * A row is the number of its values (u32), then each value: a tag, and what the tag says.
 */
import { assert } from '@flotilla/base';
import type { Datum } from '../../session-api.ts';
import {
  ArrayValue,
  IntervalValue,
  type RecordField,
  RecordValue,
  TimeTzValue,
} from '../../types/values.ts';
import type { Row } from '../evaluate.ts';

const tagNull = 0;
const tagTrue = 1;
const tagFalse = 2;
const tagInt32 = 3;
const tagDouble = 4;
const tagInt64 = 5;
const tagLatin1 = 6;
const tagUtf8 = 7;
const tagBytes = 8;
const tagInterval = 9;
const tagTimeTz = 10;
const tagArray = 11;
const tagRecord = 12;

const firstBytes = 64 * 1024;
/** Longer strings are not looked at for characters beyond Latin-1. */
const latin1LengthMax = 1024;

/** The types and names of records, which are objects of the plan and stay in memory. */
interface RecordShape {
  readonly types: readonly RecordField[];
  readonly names: readonly string[] | undefined;
}

export class DatumCodec {
  private buffer = Buffer.allocUnsafe(firstBytes);
  private at = 0;
  private shapes: RecordShape[] = [];

  /** What was encoded since the last `take`. Unit: bytes. */
  get length(): number {
    return this.at;
  }

  /** The bytes of the rows since the last call: a copy. */
  take(): Buffer {
    const bytes = Buffer.from(this.buffer.subarray(0, this.at));
    this.at = 0;
    return bytes;
  }

  encode(row: Row): void {
    this.u32(row.length);
    for (const value of row) this.value(value);
  }

  /** All rows in bytes that this codec has made. */
  decode(bytes: Uint8Array): Row[] {
    const reader = new DatumReader(bytes, this.shapes);
    const rows: Row[] = [];
    while (!reader.isAtEnd) rows.push(reader.row());
    return rows;
  }

  private value(value: Datum): void {
    if (value === null) this.tag(tagNull);
    else if (typeof value === 'string') this.string(value);
    else if (typeof value === 'number') this.number(value);
    else if (typeof value === 'bigint') this.i64(tagInt64, value);
    else if (typeof value === 'boolean') this.tag(value ? tagTrue : tagFalse);
    else if (value instanceof Uint8Array) {
      this.tag(tagBytes);
      this.u32(value.length);
      this.room(value.length);
      this.buffer.set(value, this.at);
      this.at += value.length;
    } else this.object(value);
  }

  private object(value: IntervalValue | TimeTzValue | ArrayValue | RecordValue): void {
    if (value instanceof IntervalValue) {
      this.i64(tagInterval, value.micros);
      this.number(value.months);
      this.number(value.days);
    } else if (value instanceof TimeTzValue) {
      this.i64(tagTimeTz, value.micros);
      this.number(value.offset);
    } else if (value instanceof ArrayValue) {
      this.tag(tagArray);
      this.u32(value.dimensions.length);
      for (const { length, lower } of value.dimensions) {
        this.number(length);
        this.number(lower);
      }
      this.encode(value.elements);
    } else {
      this.tag(tagRecord);
      this.u32(this.shapeOf(value));
      this.encode(value.values);
    }
  }

  private shapeOf({ types, names }: RecordValue): number {
    const known = this.shapes.findIndex((shape) => shape.types === types && shape.names === names);
    return known >= 0 ? known : this.shapes.push({ types, names }) - 1;
  }

  private number(value: number): void {
    if ((value | 0) === value && !Object.is(value, -0)) {
      this.tag(tagInt32);
      this.room(4);
      this.at = this.buffer.writeInt32LE(value, this.at);
      return;
    }
    this.tag(tagDouble);
    this.room(8);
    this.at = this.buffer.writeDoubleLE(value, this.at);
  }

  private i64(tag: number, value: bigint): void {
    assert(BigInt.asIntN(64, value) === value, 'integers of SQL have 64 bits at most');
    this.tag(tag);
    this.room(8);
    this.at = this.buffer.writeBigInt64LE(value, this.at);
  }

  private string(value: string): void {
    const isLatin1 = value.length <= latin1LengthMax && isLatin(value);
    this.tag(isLatin1 ? tagLatin1 : tagUtf8);
    const length = isLatin1 ? value.length : Buffer.byteLength(value);
    this.u32(length);
    this.room(length);
    this.at += this.buffer.write(value, this.at, length, isLatin1 ? 'latin1' : 'utf8');
  }

  private tag(tag: number): void {
    this.room(1);
    this.buffer[this.at++] = tag;
  }

  private u32(value: number): void {
    this.room(4);
    this.at = this.buffer.writeUInt32LE(value, this.at);
  }

  private room(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.at + bytes));
    larger.set(this.buffer.subarray(0, this.at));
    this.buffer = larger;
  }
}

function isLatin(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0xff) return false;
  return true;
}

class DatumReader {
  private readonly bytes: Buffer;
  private readonly shapes: readonly RecordShape[];
  private at = 0;

  constructor(bytes: Uint8Array, shapes: readonly RecordShape[]) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.shapes = shapes;
  }

  get isAtEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  row(): Datum[] {
    const row = new Array<Datum>(this.u32());
    for (let i = 0; i < row.length; i++) row[i] = this.value();
    return row;
  }

  private value(): Datum {
    const tag = this.bytes[this.at++];
    switch (tag) {
      case tagNull:
        return null;
      case tagTrue:
        return true;
      case tagFalse:
        return false;
      case tagInt32:
        this.at += 4;
        return this.bytes.readInt32LE(this.at - 4);
      case tagDouble:
        this.at += 8;
        return this.bytes.readDoubleLE(this.at - 8);
      case tagInt64:
        return this.i64();
      case tagLatin1:
        return this.text('latin1');
      case tagUtf8:
        return this.text('utf8');
      case tagBytes: {
        const length = this.u32();
        this.at += length;
        return Buffer.from(this.bytes.subarray(this.at - length, this.at));
      }
      case tagInterval: {
        const micros = this.i64();
        return new IntervalValue(this.number(), this.number(), micros);
      }
      case tagTimeTz: {
        const micros = this.i64();
        return new TimeTzValue(micros, this.number());
      }
      case tagArray: {
        const dimensions = Array.from({ length: this.u32() }, () => ({
          length: this.number(),
          lower: this.number(),
        }));
        return new ArrayValue(this.row(), dimensions);
      }
      case tagRecord: {
        const { types, names } = this.shapes[this.u32()] ?? { types: [], names: undefined };
        return new RecordValue(this.row(), types, names);
      }
      default:
        throw new RangeError('a tag of this codec');
    }
  }

  private number(): number {
    const value = this.value();
    assert(typeof value === 'number', 'a number was written here');
    return value;
  }

  private i64(): bigint {
    this.at += 8;
    return this.bytes.readBigInt64LE(this.at - 8);
  }

  private u32(): number {
    this.at += 4;
    return this.bytes.readUInt32LE(this.at - 4);
  }

  private text(encoding: 'latin1' | 'utf8'): string {
    const length = this.u32();
    this.at += length;
    return this.bytes.toString(encoding, this.at - length, this.at);
  }
}
