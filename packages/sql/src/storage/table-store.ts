/**
 * A table's rows as key-value pairs: key = 10 ‖ table prefix (u32) ‖ index id ‖ key columns, value by `RowCodec`. The top
 * three bits of the prefix are the table's id modulo 8, which deals tables round robin over the slices into which the
 * table space is first cut. A table without a primary key is keyed by a hidden row id.
 */
import {
  concatBytes,
  KeyReader,
  KeyWriter,
  prefixSpan,
  type Span,
  tablePrefix,
} from '@flotilla/base';
import type { IndexDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import type { Datum } from '../session-api.ts';
import type { KeyForm } from '../types/codec.ts';
import type { SqlType } from '../types/type.ts';
import { RowCodec } from './row-codec.ts';

/** Index 0 is the primary index; a secondary one has its number. */
const primaryIndexId = 0;

/** @param id a table's or sequence's storage id */
export function tableKeyPrefix(id: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE((((id & 7) << 29) | id) >>> 0);
  return concatBytes(tablePrefix, bytes);
}

/** All that is stored under an id. */
export function storageSpan(id: number): Span {
  return prefixSpan(tableKeyPrefix(id));
}

/** What the key of every entry of an index begins with. */
export function indexKeyPrefix(table: TableDescriptor, index: IndexDescriptor): Uint8Array {
  return new KeyWriter().begin(tableKeyPrefix(table.storageId)).integer(index.number).finish();
}

export function indexSpan(table: TableDescriptor, index: IndexDescriptor): Span {
  return prefixSpan(indexKeyPrefix(table, index));
}

export interface KeyColumn {
  /** Offset into the table's columns. */
  readonly index: number;
  readonly type: SqlType;
}

const writer = new KeyWriter();

/** Appends one value of a key column. NULL is for indexes to come and for bounds. */
export function writeKeyValue(to: KeyWriter, type: SqlType, value: Datum): void {
  if (value === null) to.null();
  else keyFormOf(type).write(to, value);
}

/** Throws RangeError for types that have no keys: DDL refuses them. */
function keyFormOf(type: SqlType): KeyForm {
  const form = type.codec?.key;
  if (form === undefined) throw new RangeError(`${type.display} has keys`);
  return form;
}

/** Keys and rows of one table. Stateless but for caches; one per descriptor. */
export class TableStore {
  readonly table: TableDescriptor;
  /** `10 ‖ table prefix ‖ index id`: what every row's key begins with. */
  readonly indexPrefix: Uint8Array;
  readonly keyColumns: readonly KeyColumn[];
  readonly codec: RowCodec;

  constructor(table: TableDescriptor) {
    this.table = table;
    this.indexPrefix = writer
      .begin(tableKeyPrefix(table.storageId))
      .integer(primaryIndexId)
      .finish();
    this.keyColumns = (table.primaryKey?.columns ?? []).map((index) => {
      const column = table.columns[index];
      if (column === undefined) throw new RangeError('key column is a column');
      return { index, type: column.type };
    });
    this.codec = new RowCodec(table);
  }

  rowsSpan(): Span {
    return prefixSpan(this.indexPrefix);
  }

  /** The key of a row of a table with a primary key. */
  rowKey(row: readonly Datum[]): Uint8Array {
    writer.begin(this.indexPrefix);
    for (const { index, type } of this.keyColumns) writeKeyValue(writer, type, row[index] ?? null);
    return writer.finish();
  }

  /** A row's key from what it has behind its prefix: the value of an index entry. */
  keyOf(rest: Uint8Array): Uint8Array {
    return concatBytes(this.indexPrefix, rest);
  }

  hiddenKey(rowId: bigint): Uint8Array {
    return writer.begin(this.indexPrefix).integer(rowId).finish();
  }

  /** The row id in a key of a table without a primary key. */
  hiddenRowId(key: Uint8Array): bigint {
    return new KeyReader(key, this.indexPrefix.length).bigInteger();
  }

  /** A key that begins with these values of the first key columns. */
  prefixKey(values: readonly Datum[]): Uint8Array {
    writer.begin(this.indexPrefix);
    for (let i = 0; i < values.length; i++) {
      const column = this.keyColumns[i];
      if (column !== undefined) writeKeyValue(writer, column.type, values[i] ?? null);
    }
    return writer.finish();
  }

  /** @param needed by offset into the table's columns; others come out NULL */
  decodeRow(key: Uint8Array, value: Uint8Array, needed: readonly boolean[]): Datum[] {
    const row: Datum[] = new Array<Datum>(this.table.columns.length).fill(null);
    if (this.keyColumns.some((column) => needed[column.index] === true))
      this.decodeKeyInto(row, key);
    this.codec.decodeInto(row, value, needed);
    return row;
  }

  decodeKeyInto(row: Datum[], key: Uint8Array): void {
    const reader = new KeyReader(key, this.indexPrefix.length);
    for (const { index, type } of this.keyColumns) row[index] = readKeyValue(reader, type);
  }
}

export function readKeyValue(reader: KeyReader, type: SqlType): Datum {
  return keyFormOf(type).read(reader);
}
