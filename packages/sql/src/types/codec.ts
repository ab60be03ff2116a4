/**
 * What a type can do with its values: text and binary forms, order, hashing, keys, stored rows, modifiers. Each family of
 * types has a file that exports its codecs; `type.ts` joins a codec with the type's facts. Nothing else knows how a value
 * of a type looks, so that a new type is one codec and one line.
 */
import type { KeyReader, KeyWriter } from '@flotilla/base';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { SystemNames } from './system-names.ts';
import type { TimeZone } from './time-zone.ts';

/** What input and output depend on besides the value. */
export interface TextContext {
  readonly zone: TimeZone;
  /** extra_float_digits. */
  readonly extraFloatDigits: number;
  /** Microseconds since 2000: what `now` stands for. */
  readonly now: bigint;
  /** Told when an input's value depends on `now`. */
  readonly onDependsOnNow?: () => void;
  /** DateStyle's order of ambiguous dates; absent: MDY. */
  readonly dateOrder?: 'MDY' | 'DMY' | 'YMD';
  /** bytea_output; absent: hex. */
  readonly byteaOutput?: 'hex' | 'escape';
  /** Names of catalog objects, for regclass and its like; absent: they are numbers only. */
  readonly names?: SystemNames | undefined;
}

export type Comparator = (a: Datum, b: Datum) => number;

/** How a row's value stores a value of the type: one of the forms of `storage/row-codec.ts`, or bytes by these. */
export type RowForm =
  | 'small'
  | 'big'
  | 'float'
  | 'text'
  | 'bool'
  | 'int64'
  | { encode(value: Datum): Uint8Array; decode(bytes: Buffer): Datum };

export interface KeyForm {
  /** Appends a value that is not NULL; the bytes order as the type does. */
  write(writer: KeyWriter, value: Datum): void;
  read(reader: KeyReader): Datum;
  /** Reading gives back the very value; otherwise the row's value holds it too. */
  readonly exact: boolean;
}

/** Type modifiers: `(n)`, `(p, s)`. */
export interface ModifierForm {
  /** From what the user wrote to pg_attribute.atttypmod. Throws 22023. */
  parse(written: readonly number[], display: string): number;
  /** `(10,2)`; '' where there is nothing to print. */
  format(modifier: number): string;
  /** The value cut, padded or rounded to it. Throws 22001, 22003. */
  apply(value: Datum, modifier: number, explicit: boolean): Datum;
}

export interface TypeCodec {
  /** typinput. Throws 22P02, 22003, 22007, 22008, 22023. */
  parse(text: string, context: TextContext, display: string, modifier?: number): Datum;
  /** typoutput. */
  format(value: Datum, context: TextContext): string;
  /** typreceive. Throws 22P02, 22P03, 08P01. */
  receive(bytes: Buffer, context: TextContext, display: string): Datum;
  /** typsend. */
  send(value: Datum, context: TextContext): Uint8Array;
  /** The default btree order; undefined: the type has none. */
  readonly compare: Comparator | undefined;
  /** Equal values are equal JavaScript values, and only those. */
  readonly identical: boolean;
  /** Equal results for equal values and only for those. Asked only where not `identical`. */
  hash?(value: Datum): string;
  /** Undefined: no keys of this type. */
  readonly key: KeyForm | undefined;
  /** Undefined: not stored. */
  readonly row: RowForm | undefined;
  readonly modifier?: ModifierForm;
  /** The text depends on the session: zone, settings, names. */
  readonly sessionText?: true;
}

export function badSyntax(display: string, text: string): SqlError {
  return new SqlError('22P02', `invalid input syntax for type ${display}: "${text}"`);
}

export function outOfRange(display: string, text: string): SqlError {
  return new SqlError('22003', `value "${text}" is out of range for type ${display}`);
}

/** Throws 08P01, 22P03. */
export function expectLength(bytes: Buffer, length: number): Buffer {
  if (bytes.length < length) throw new SqlError('08P01', 'insufficient data left in message');
  if (bytes.length > length)
    throw new SqlError('22P03', 'incorrect binary data format in bind parameter');
  return bytes;
}

export function compareOrdinary(a: Datum, b: Datum): number {
  const [x, y] = [a as number, b as number];
  return x < y ? -1 : x > y ? 1 : 0;
}

export function int64Bytes(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

export function int32Bytes(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** Keys of integers that fit into a number. */
export const smallKey: KeyForm = {
  write: (writer, value) => writer.integer(value as number),
  read: (reader) => reader.integer(),
  exact: true,
};

export const bigKey: KeyForm = {
  write: (writer, value) => writer.integer(value as bigint),
  read: (reader) => reader.bigInteger(),
  exact: true,
};
