/**
 * Values in memory that are no JavaScript primitives. Immutable. Who compares or hashes a datum asks its type's codec;
 * `datumKey` is for those who must tell any two datums apart without knowing the type.
 */
/**
 * A value of SQL. int2, int4, oid and its like, float4, float8: number. int8: bigint. Strings, uuid, json, enumerations:
 * string. jsonb: its canonical text. numeric: its decimal text. bool: boolean. bytea: bytes. timestamp, timestamptz: bigint
 * microseconds since 2000-01-01 (UTC). date: number of days since then. time: bigint microseconds since midnight. The
 * others: the classes below. SQL NULL: null.
 */
export type Datum =
  | number
  | bigint
  | string
  | boolean
  | Uint8Array
  | IntervalValue
  | TimeTzValue
  | ArrayValue
  | RecordValue
  | null;

/** interval: three parts that do not convert into each other by themselves. */
export class IntervalValue {
  readonly months: number;
  readonly days: number;
  /** Microseconds, int64. */
  readonly micros: bigint;

  constructor(months: number, days: number, micros: bigint) {
    this.months = months;
    this.days = days;
    this.micros = micros;
  }
}

/** time with time zone. */
export class TimeTzValue {
  /** Microseconds since local midnight. */
  readonly micros: bigint;
  /** Seconds east of Greenwich. */
  readonly offset: number;

  constructor(micros: bigint, offset: number) {
    this.micros = micros;
    this.offset = offset;
  }
}

export interface ArrayDimension {
  readonly length: number;
  /** Subscript of the first element. */
  readonly lower: number;
}

/** An array: its elements row by row, and its shape; no dimensions where it is empty. */
export class ArrayValue {
  readonly elements: readonly Datum[];
  readonly dimensions: readonly ArrayDimension[];

  constructor(elements: readonly Datum[], dimensions?: readonly ArrayDimension[]) {
    this.elements = elements;
    this.dimensions =
      dimensions ?? (elements.length === 0 ? [] : [{ length: elements.length, lower: 1 }]);
  }
}

/** A row as a value; the types are those of its fields. */
export class RecordValue {
  readonly values: readonly Datum[];
  readonly types: readonly RecordField[];
  /** Absent for rows of no table: JSON calls their fields f1, f2, … */
  readonly names: readonly string[] | undefined;

  constructor(values: readonly Datum[], types: readonly RecordField[], names?: readonly string[]) {
    this.values = values;
    this.types = types;
    this.names = names;
  }
}

/** What a record must know of its fields' types; every `SqlType` is one. */
export interface RecordField {
  readonly oid: number;
}

export const emptyArray: ArrayValue = new ArrayValue([]);

/** Texts that are equal exactly for datums that are the same value of the same type, as it is printed. */
export function datumKey(value: Datum): string {
  if (value === null) return 'null';
  switch (typeof value) {
    case 'bigint':
      return `${value}n`;
    case 'string':
      return JSON.stringify(value);
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'boolean':
      return String(value);
    default:
      break;
  }
  if (value instanceof Uint8Array) return `x${Buffer.from(value).toString('hex')}`;
  if (value instanceof IntervalValue) return `i${value.months}/${value.days}/${value.micros}`;
  if (value instanceof TimeTzValue) return `t${value.micros}/${value.offset}`;
  if (value instanceof ArrayValue) {
    const shape = value.dimensions.map((one) => `${one.lower}:${one.length}`).join();
    return `[${shape}|${value.elements.map(datumKey).join()}]`;
  }
  return `(${value.types.map((type) => type.oid).join()}|${value.values.map(datumKey).join()})`;
}

/** Estimate of what V8 needs for a value. Unit: bytes. */
export function datumBytes(value: Datum): number {
  if (typeof value === 'string') return 24 + value.length * 2;
  if (typeof value !== 'object' || value === null) return 16;
  if (value instanceof Uint8Array) return 96 + value.length;
  const inner =
    value instanceof ArrayValue ? value.elements : value instanceof RecordValue ? value.values : [];
  let bytes = 64;
  for (const one of inner) bytes += datumBytes(one);
  return bytes;
}
