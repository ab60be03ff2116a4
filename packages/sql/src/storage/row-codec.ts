/**
 * The value of a row's key: one byte of format version, the number of columns, a bitmap of NULLs, then the columns that are
 * not NULL in order of definition, dropped ones among them as NULLs. Columns that the key already holds exactly are left out;
 * floats, for one, are not among them, because a key does not tell -0 from 0. A row may have fewer columns than the table has
 * now. A type's codec says which form a column has:
 *
 *   small  big    zigzag varint            bool          one byte
 *   float         8 bytes, little-endian   int64         8 bytes, little-endian
 *   text          varint length, UTF-8     its own form  varint length, bytes
 */
import { asBuffer, DbError } from '@flotilla/base';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { Datum } from '../session-api.ts';
import type { RowForm } from '../types/codec.ts';
import { storedText } from '../types/stored-text.ts';
import { parseText } from '../types/text-codec.ts';
import type { SqlType } from '../types/type.ts';

const formatVersion = 1;

export interface StoredColumn {
  /** Offset into the table's columns; -1: the column is gone, its values are skipped. */
  readonly index: number;
  readonly form: RowForm;
  /** The value in rows that were written before the column was there. */
  readonly missing: Datum;
}

/** Throws RangeError for types that are not stored: no table has such a column. */
function formOf(type: SqlType): RowForm {
  const form = type.codec?.row;
  if (form === undefined) throw new RangeError(`${type.display} is stored`);
  return form;
}

let scratch = Buffer.allocUnsafe(4096);

/** What the rows of a table hold, in order. */
export function storedColumnsOf(table: TableDescriptor): readonly StoredColumn[] {
  const inKey = new Set(table.primaryKey?.columns ?? []);
  const here = table.columns.map((column, index) => ({ ...column, index }));
  const gone = table.dropped.map((column) => ({ ...column, index: -1, missing: undefined }));
  return [...here, ...gone]
    .sort((a, b) => a.attributeNumber - b.attributeNumber)
    .filter(({ index, type }) => !inKey.has(index) || type.codec?.key?.exact !== true)
    .map(({ index, type, missing }) => ({
      index,
      form: formOf(type),
      missing: missing === undefined ? null : parseText(type, missing, storedText),
    }));
}

/** Encodes and decodes rows of the same columns. */
export class RowCodec {
  readonly stored: readonly StoredColumn[];
  private readonly bitmapBytes: number;

  constructor(stored: readonly StoredColumn[]) {
    this.stored = stored;
    this.bitmapBytes = Math.ceil(stored.length / 8);
  }

  /** What a column reads as in rows that do not hold it. @param offset into the table's columns */
  missingValue(offset: number): Datum {
    return this.stored.find((column) => column.index === offset)?.missing ?? null;
  }

  encode(row: readonly Datum[]): Uint8Array {
    let at = this.begin(row);
    for (const { index, form } of this.stored) {
      const value = row[index] ?? null;
      if (value === null) continue;
      if (form === 'text') {
        at = writeText(value as string, at);
        continue;
      }
      if (typeof form === 'object') {
        at = writeBytes(form.encode(value), at);
        continue;
      }
      reserve(at + 10);
      if (form === 'small') at = writeVarint(zigzag(value as number), at);
      else if (form === 'big') at = writeBig(value as bigint, at);
      else if (form === 'float') at = scratch.writeDoubleLE(value as number, at);
      else if (form === 'bool') scratch[at++] = value === true ? 1 : 0;
      else at = scratch.writeBigInt64LE(value as bigint, at);
    }
    const bytes = new Uint8Array(at);
    bytes.set(scratch.subarray(0, at));
    return bytes;
  }

  /** Header: version, column count, NULL bitmap. */
  private begin(row: readonly Datum[]): number {
    reserve(4 + this.bitmapBytes);
    scratch[0] = formatVersion;
    const start = writeVarint(this.stored.length, 1);
    scratch.fill(0, start, start + this.bitmapBytes);
    for (let i = 0; i < this.stored.length; i++) {
      const value = row[this.stored[i]?.index ?? -1] ?? null;
      if (value === null)
        scratch[start + (i >> 3)] = (scratch[start + (i >> 3)] ?? 0) | (1 << (i & 7));
    }
    return start + this.bitmapBytes;
  }

  /**
   * Fills the stored columns of `row`.
   * @param needed by offset into the table's columns; columns that are not needed are left as they are
   * Throws DbError CORRUPTION.
   */
  decodeInto(row: Datum[], bytes: Uint8Array, needed: readonly boolean[]): void {
    const reader = new RowReader(bytes);
    const count = reader.header(this.stored.length);
    const nulls = reader.bitmap(count);
    this.fillMissing(row, count, needed);
    let last = count - 1;
    while (last >= 0 && needed[this.stored[last]?.index ?? -1] !== true) last--;
    for (let i = 0; i <= last; i++) {
      const column = this.stored[i];
      if (column === undefined) return;
      const isNull = (((bytes[nulls + (i >> 3)] ?? 0) >> (i & 7)) & 1) === 1;
      const wanted = needed[column.index] === true;
      if (isNull) {
        if (wanted) row[column.index] = null;
      } else if (wanted) row[column.index] = reader.read(column.form);
      else reader.skip(column.form);
    }
  }

  /** Columns that were added after the row was written. */
  private fillMissing(row: Datum[], count: number, needed: readonly boolean[]): void {
    for (let i = count; i < this.stored.length; i++) {
      const column = this.stored[i];
      if (column !== undefined && needed[column.index] === true) row[column.index] = column.missing;
    }
  }
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : value * -2 - 1;
}

function reserve(bytes: number): void {
  if (bytes <= scratch.length) return;
  const larger = Buffer.allocUnsafe(Math.max(bytes, scratch.length * 2));
  scratch.copy(larger);
  scratch = larger;
}

function writeVarint(value: number, at: number): number {
  let rest = value;
  let end = at;
  while (rest >= 0x80) {
    scratch[end++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  scratch[end++] = rest;
  return end;
}

function writeBig(value: bigint, at: number): number {
  const narrow = Number(value);
  if (Math.abs(narrow) < 2 ** 52) return writeVarint(zigzag(narrow), at);
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  let end = at;
  while (rest >= 0x80n) {
    scratch[end++] = Number(rest & 0x7fn) | 0x80;
    rest >>= 7n;
  }
  scratch[end++] = Number(rest);
  return end;
}

function writeText(value: string, at: number): number {
  reserve(at + 5 + value.length * 3);
  if (value.length < 0x2a) {
    const written = scratch.write(value, at + 1, 'utf8');
    scratch[at] = written; // at most 0x29 units of 3 bytes each: below 0x80
    return at + 1 + written;
  }
  const length = Buffer.byteLength(value, 'utf8');
  const start = writeVarint(length, at);
  return start + scratch.write(value, start, 'utf8');
}

function writeBytes(bytes: Uint8Array, at: number): number {
  reserve(at + 5 + bytes.length);
  const start = writeVarint(bytes.length, at);
  scratch.set(bytes, start);
  return start + bytes.length;
}

class RowReader {
  private readonly bytes: Uint8Array;
  /** Made for the first value that asks for it: small numbers do not. */
  private ownBuffer: Buffer | undefined = undefined;
  private at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  private get buffer(): Buffer {
    this.ownBuffer ??= asBuffer(this.bytes);
    return this.ownBuffer;
  }

  /** @returns how many columns the row holds */
  header(most: number): number {
    if (this.byte() !== formatVersion) throw this.corrupt('format version');
    const columns = this.varint();
    if (columns > most) throw this.corrupt('column count');
    return columns;
  }

  /** @returns offset of the NULL bitmap */
  bitmap(columns: number): number {
    const bitmap = this.at;
    this.at += Math.ceil(columns / 8);
    if (this.at > this.bytes.length) throw this.corrupt('bitmap');
    return bitmap;
  }

  read(form: RowForm): Datum {
    if (typeof form === 'object') {
      const length = this.varint();
      const start = this.advance(length);
      return form.decode(this.buffer.subarray(start, start + length));
    }
    switch (form) {
      case 'small': {
        const value = this.varint();
        return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
      }
      case 'big':
        return this.big();
      case 'float':
        return this.buffer.readDoubleLE(this.advance(8));
      case 'int64':
        return this.buffer.readBigInt64LE(this.advance(8));
      case 'bool':
        return this.byte() === 1;
      case 'text': {
        const length = this.varint();
        const start = this.advance(length);
        return this.buffer.toString('utf8', start, start + length);
      }
    }
  }

  skip(form: RowForm): void {
    if (form === 'float' || form === 'int64') this.advance(8);
    else if (form === 'bool') this.advance(1);
    else if (form === 'text' || typeof form === 'object') this.advance(this.varint());
    else while (this.byte() >= 0x80);
  }

  private varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw this.corrupt('varint');
  }

  private big(): bigint {
    const start = this.at;
    let end = start;
    while ((this.bytes[end] ?? 0) >= 0x80) end++;
    if (end - start < 7) {
      const value = this.varint();
      return BigInt(value % 2 === 0 ? value / 2 : -(value + 1) / 2);
    }
    if (end - start >= 10 || end >= this.bytes.length) throw this.corrupt('varint');
    let value = 0n;
    for (let i = end; i >= start; i--) value = (value << 7n) | BigInt((this.bytes[i] ?? 0) & 0x7f);
    this.at = end + 1;
    return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
  }

  private byte(): number {
    const byte = this.bytes[this.at];
    if (byte === undefined) throw this.corrupt('byte');
    this.at++;
    return byte;
  }

  private advance(length: number): number {
    const start = this.at;
    if (start + length > this.bytes.length) throw this.corrupt('length');
    this.at += length;
    return start;
  }

  private corrupt(what: string): DbError {
    return new DbError('CORRUPTION', `row has no valid ${what} at byte ${this.at}`);
  }
}
