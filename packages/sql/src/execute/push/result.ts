/**
 * What a program hands back: rows in order, each with its length, and at the end perhaps the error that a row met. An error
 * is raised where the rows before it have been taken: a statement that wants no more than these does not meet it.
 *
 *   u8 version, u32 rows taken in, u32 rows, rows (varint length, bytes), error (JSON) or nothing
 */
import { asBuffer, DbError } from '@flotilla/base';
import type { Datum } from '../../session-api.ts';
import { SqlError } from '../../sql-error.ts';
import type { RowCodec } from '../../storage/row-codec.ts';

const version = 1;
const headBytes = 9;

export class ResultWriter {
  private readonly codec: RowCodec;
  private readonly parts: Uint8Array[] = [];
  private rows = 0;
  bytes: number = headBytes;

  constructor(codec: RowCodec) {
    this.codec = codec;
  }

  add(row: readonly Datum[]): void {
    const encoded = this.codec.encode(row);
    const length = varint(encoded.length);
    this.parts.push(length, encoded);
    this.bytes += length.length + encoded.length;
    this.rows++;
  }

  /** @param taken rows that the filter let through */
  finish(taken: number, error: SqlError | undefined): Uint8Array {
    const head = Buffer.alloc(headBytes);
    head[0] = version;
    head.writeUInt32BE(taken, 1);
    head.writeUInt32BE(this.rows, 5);
    if (error !== undefined) this.parts.push(Buffer.from(errorText(error), 'utf8'));
    return Buffer.concat([head, ...this.parts]);
  }
}

export interface ProgramResult {
  readonly rows: Datum[][];
  /** Rows that the filter let through. */
  readonly taken: number;
  /** To be raised behind the rows. */
  readonly error: SqlError | undefined;
}

/** Where the values of a result's rows belong. */
export interface ResultShape {
  readonly codec: RowCodec;
  readonly width: number;
}

/** @throws DbError CORRUPTION */
export function readResult({ codec, width }: ResultShape, bytes: Uint8Array): ProgramResult {
  const result = asBuffer(bytes);
  if (result.length < headBytes || result[0] !== version)
    throw new DbError('CORRUPTION', 'what a store has computed has no valid version');
  const taken = result.readUInt32BE(1);
  const count = result.readUInt32BE(5);
  const needed = new Array<boolean>(width).fill(true);
  const rows: Datum[][] = [];
  let at = headBytes;
  for (let i = 0; i < count; i++) {
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = result[at++];
      if (byte === undefined || shift > 28)
        throw new DbError('CORRUPTION', 'what a store has computed has no valid length');
      length += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    if (at + length > result.length)
      throw new DbError('CORRUPTION', 'what a store has computed ends too early');
    const row = new Array<Datum>(width).fill(null);
    codec.decodeInto(row, result.subarray(at, at + length), needed);
    rows.push(row);
    at += length;
  }
  const error = at < result.length ? errorOf(result.toString('utf8', at)) : undefined;
  return { rows, taken, error };
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

function errorText({ code, message, fields }: SqlError): string {
  const { cause: _, ...plain } = fields;
  return JSON.stringify({ code, message, fields: plain });
}

function errorOf(text: string): SqlError {
  const { code, message, fields } = JSON.parse(text) as SqlError;
  return new SqlError(code, message, fields);
}
