/**
 * Encodes result rows straight into the output buffer. The common types are written here without intermediate
 * buffers, exactly as the session's codec would; every other type goes through `encode`.
 */
import type { ColumnDescription, Datum, Oid } from '@flotilla/sql';
import { type Format, formatAt } from './backend-messages.ts';
import { Backend } from './message-types.ts';
import type { OutputBuffer } from './output-buffer.ts';

/** The session's codec: `SqlSession.encode`. */
export type Encode = (typeOid: Oid, format: Format, value: Datum) => Uint8Array | null;

const TypeOid = {
  bool: 16,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  varchar: 1043,
} as const;

/** How one result's rows are written. */
export interface RowShape {
  readonly columns: readonly ColumnDescription[];
  readonly formats: readonly Format[];
  readonly encode: Encode;
}

export function writeDataRow(output: OutputBuffer, shape: RowShape, row: readonly Datum[]): void {
  const { columns, formats } = shape;
  const message = output.beginMessage(Backend.dataRow);
  output.writeInt16(columns.length);
  for (let index = 0; index < columns.length; index++) {
    const value = row[index] as Datum;
    if (value === null) {
      output.writeInt32(-1);
      continue;
    }
    const { typeOid } = columns[index] as ColumnDescription;
    if (formatAt(formats, index) === 0) writeTextValue(output, shape, typeOid, value);
    else writeBinaryValue(output, shape, typeOid, value);
  }
  output.endMessage(message);
}

function writeTextValue(
  output: OutputBuffer,
  shape: RowShape,
  typeOid: Oid,
  value: Exclude<Datum, null>,
): void {
  const text = textOf(typeOid, value);
  if (text === undefined) writeEncoded(output, shape.encode(typeOid, 0, value));
  else writeSized(output, text);
}

/** The text of a value of a common type, or undefined. */
function textOf(typeOid: Oid, value: Exclude<Datum, null>): string | undefined {
  switch (typeOid) {
    case TypeOid.int2:
    case TypeOid.int4:
    case TypeOid.oid:
      return typeof value === 'number' ? String(value) : undefined;
    case TypeOid.int8:
      return typeof value === 'bigint' ? value.toString() : undefined;
    case TypeOid.text:
    case TypeOid.varchar:
      return typeof value === 'string' ? value : undefined;
    case TypeOid.bool:
      return typeof value !== 'boolean' ? undefined : value ? 't' : 'f';
    default:
      return undefined;
  }
}

function writeBinaryValue(
  output: OutputBuffer,
  shape: RowShape,
  typeOid: Oid,
  value: Exclude<Datum, null>,
): void {
  if (typeOid === TypeOid.int4 && typeof value === 'number') {
    output.writeInt32(4);
    output.writeInt32(value);
  } else if (typeOid === TypeOid.int8 && typeof value === 'bigint') {
    output.writeInt32(8);
    output.writeInt32(Number(BigInt.asIntN(32, value >> 32n)));
    output.writeInt32(Number(BigInt.asIntN(32, value)));
  } else if (
    typeof value === 'string' &&
    (typeOid === TypeOid.text || typeOid === TypeOid.varchar)
  ) {
    writeSized(output, value);
  } else if (typeOid === TypeOid.bool && typeof value === 'boolean') {
    output.writeInt32(1);
    output.writeByte(value ? 1 : 0);
  } else if (typeOid === TypeOid.int2 && typeof value === 'number') {
    output.writeInt32(2);
    output.writeInt16(value);
  } else {
    writeEncoded(output, shape.encode(typeOid, 1, value));
  }
}

/** Length and text. */
function writeSized(output: OutputBuffer, text: string): void {
  output.ensure(4);
  const lengthAt = output.length;
  output.length = lengthAt + 4;
  const written = output.writeText(text);
  output.putInt32(lengthAt, written);
}

function writeEncoded(output: OutputBuffer, encoded: Uint8Array | null): void {
  if (encoded === null) {
    output.writeInt32(-1);
    return;
  }
  output.writeInt32(encoded.length);
  output.writeBytes(encoded);
}
