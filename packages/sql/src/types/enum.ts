/**
 * Enumerations. A datum is the label. Rows keep the label's oid and keys its sort order, so that labels may be renamed
 * and added in the middle without touching rows. Outputs need no descriptor: the label is the text.
 */
import { DbError } from '@flotilla/base';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { compareOrdinary, type TypeCodec } from './codec.ts';
import { decodeText } from './strings.ts';
import type { SqlType } from './type.ts';

export interface EnumLabel {
  readonly oid: number;
  readonly label: string;
  /** pg_enum.enumsortorder: a float4, so that there is room between any two. */
  readonly sortOrder: number;
}

export interface EnumDefinition {
  readonly oid: number;
  readonly arrayOid: number;
  readonly schema: string;
  readonly name: string;
  /** As it is printed: quoted, and qualified where it must be. */
  readonly display?: string;
  readonly labels: readonly EnumLabel[];
}

function enumCodec(labels: readonly EnumLabel[]): TypeCodec {
  const byLabel = new Map(labels.map((one) => [one.label, one]));
  const byOid = new Map(labels.map((one) => [one.oid, one.label]));
  const bySort = new Map(labels.map((one) => [one.sortOrder, one.label]));
  const known = <T>(label: T | undefined): T => {
    if (label !== undefined) return label;
    // A row that is younger than the plan that reads it, or a parameter that is older.
    throw new DbError('CONFLICT', 'the values of an enumeration were changed meanwhile');
  };
  const orderOf = (value: Datum) => known(byLabel.get(value as string)).sortOrder;
  const parse = (text: string, display: string) => {
    if (byLabel.has(text)) return text;
    throw new SqlError('22P02', `invalid input value for enum ${display}: "${text}"`);
  };
  return {
    parse: (text, _context, display) => parse(text, display),
    format: String,
    receive: (bytes, _context, display) => parse(decodeText(bytes), display),
    send: (value) => Buffer.from(value as string, 'utf8'),
    compare: (a, b) => compareOrdinary(orderOf(a), orderOf(b)),
    identical: true,
    key: {
      write: (writer, value) => writer.float(orderOf(value)),
      read: (reader) => known(bySort.get(reader.float())),
      exact: true,
    },
    row: {
      encode: (value) => {
        const bytes = Buffer.allocUnsafe(4);
        bytes.writeUInt32LE(known(byLabel.get(value as string)).oid);
        return bytes;
      },
      decode: (bytes) => known(byOid.get(bytes.readUInt32LE(0))),
    },
  };
}

/** The type of an enumeration; its array type is `arrayTypeOf` of it. */
export function enumType(definition: EnumDefinition): SqlType {
  const { labels, oid, arrayOid, schema, name } = definition;
  const sorted = [...labels].sort((a, b) => a.sortOrder - b.sortOrder);
  return {
    oid,
    arrayOid,
    schema,
    name,
    display: definition.display ?? name,
    length: 4,
    category: 'E',
    preferred: false,
    supported: true,
    storable: true,
    codec: enumCodec(sorted),
    element: undefined,
    labels: sorted,
  };
}
