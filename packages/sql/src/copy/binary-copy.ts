/**
 * PostgreSQL's binary COPY format: a head, rows of counted fields in the binary forms of their types, an end mark. Takes what the
 * client sends apart, however it is cut, and puts rows together. Values are the session's business.
 */
import { copyRowBytesMax } from '../limits.ts';
import { SqlError } from '../sql-error.ts';

/** A field is null, or the binary form of a value. */
export type BinaryField = Uint8Array | null;

export interface BinaryRow {
  /** From 1. */
  readonly number: number;
  readonly fields: readonly BinaryField[];
}

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
const headBytes = signature.length + 8;

/** The signature, no flags, no extension. */
export const binaryHead: Uint8Array = Buffer.concat([signature, Buffer.alloc(8)]);
export const binaryEnd: Uint8Array = Uint8Array.of(0xff, 0xff);

export function binaryRow(fields: readonly BinaryField[]): Uint8Array {
  let length = 2;
  for (const field of fields) length += 4 + (field?.length ?? 0);
  const row = Buffer.allocUnsafe(length);
  let at = row.writeInt16BE(fields.length, 0);
  for (const field of fields) {
    at = row.writeInt32BE(field?.length ?? -1, at);
    if (field === null) continue;
    row.set(field, at);
    at += field.length;
  }
  return row;
}

export class BinaryReader {
  private readonly columnCount: number;
  private bytes: Buffer = Buffer.alloc(0);
  private at = 0;
  private stage: 'head' | 'extension' | 'rows' | 'end' = 'head';
  private skip = 0;
  /** Of the row that was read last. */
  line = 0;

  constructor(columnCount: number) {
    this.columnCount = columnCount;
  }

  /** The rows that are complete now. Throws 22P04, 54000. */
  *push(chunk: Uint8Array): Generator<BinaryRow, void, undefined> {
    const rest = this.bytes.subarray(this.at);
    this.bytes = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    this.at = 0;
    while (this.readHead()) {
      const row = this.readRow();
      if (row === undefined) break;
      yield row;
    }
    if (this.bytes.length - this.at > copyRowBytesMax)
      throw new SqlError('54000', `a row of COPY data has ${copyRowBytesMax} bytes at most`);
  }

  /** Throws 22P04 where the data ends within a row. */
  finish(): BinaryRow[] {
    if (this.stage === 'head') throw bad('COPY file signature not recognized');
    if (this.bytes.length > this.at) throw bad('unexpected EOF in COPY data');
    return [];
  }

  private get left(): number {
    return this.bytes.length - this.at;
  }

  /** @returns whether rows come next. Throws 22P04. */
  private readHead(): boolean {
    if (this.stage === 'head') {
      const there = this.bytes.subarray(this.at, this.at + signature.length);
      if (!there.equals(signature.subarray(0, there.length)))
        throw bad('COPY file signature not recognized');
      if (this.left < headBytes) return false;
      const flags = this.bytes.readUInt32BE(this.at + signature.length);
      if ((flags & 0x1_0000) !== 0) throw bad('invalid COPY file header (WITH OIDS)');
      if (flags >>> 16 !== 0) throw bad('unrecognized critical flags in COPY file header');
      this.skip = this.bytes.readInt32BE(this.at + signature.length + 4);
      if (this.skip < 0) throw bad('invalid COPY file header (missing length)');
      this.at += headBytes;
      this.stage = 'extension';
    }
    if (this.stage === 'extension') {
      const skipped = Math.min(this.skip, this.left);
      this.at += skipped;
      this.skip -= skipped;
      if (this.skip > 0) return false;
      this.stage = 'rows';
    }
    if (this.stage === 'end' && this.left > 0) throw bad('received copy data after EOF marker');
    return this.stage === 'rows';
  }

  /** Undefined: it is not all there. Throws 22P04. */
  private readRow(): BinaryRow | undefined {
    const { bytes, columnCount } = this;
    if (this.left < 2) return undefined;
    const count = bytes.readInt16BE(this.at);
    if (count === -1) {
      this.at += 2;
      this.stage = 'end';
      if (this.left > 0) throw bad('received copy data after EOF marker');
      return undefined;
    }
    this.line++;
    if (count !== columnCount) throw bad(`row field count is ${count}, expected ${columnCount}`);
    const fields: BinaryField[] = [];
    let at = this.at + 2;
    for (let i = 0; i < columnCount; i++) {
      if (bytes.length < at + 4) return this.notYet();
      const length = bytes.readInt32BE(at);
      at += 4;
      if (length < -1) throw bad('invalid field size');
      if (length === -1) {
        fields.push(null);
        continue;
      }
      if (length > copyRowBytesMax)
        throw new SqlError('54000', `a row of COPY data has ${copyRowBytesMax} bytes at most`);
      if (bytes.length < at + length) return this.notYet();
      fields.push(bytes.subarray(at, at + length));
      at += length;
    }
    this.at = at;
    return { number: this.line, fields };
  }

  private notYet(): undefined {
    this.line--;
    return undefined;
  }
}

function bad(message: string): SqlError {
  return new SqlError('22P04', message);
}
