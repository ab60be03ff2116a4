/**
 * A table's rows as key-value pairs: key = 10 ‖ storage id (u32) ‖ index id ‖ key columns, value by `RowCodec`. A table
 * without a primary key is keyed by a hidden row id.
 *
 * The top three bits of a storage id are its database's slice of the table space, which is cut into slices when a cluster is
 * founded. The tables of a database lie side by side: while they are small they share a range, and a transaction over
 * several of them is one write. Databases are dealt over the slices, and what grows is cut by size and by load.
 */
import {
  assert,
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
import { RowCodec, storedColumnsOf } from './row-codec.ts';

/** Index 0 is the primary index; a secondary one has its number. */
const primaryIndexId = 0;

const sliceBits = 29;
const slices = 8;
const idMask = 2 ** sliceBits - 1;

/** Where something new is stored. @param id new; a catalog has fewer than 2^29 */
export function storageIdIn(database: number, id: number): number {
  assert(id <= idMask, 'an id is left');
  return (1 + (database % (slices - 1))) * 2 ** sliceBits + id;
}

/** The id in the catalog with which a place was made, of anything that is stored there. */
export function idOfStorage(storageId: number): number {
  return storageId & idMask;
}

/** @param storageId a table's or sequence's */
export function tableKeyPrefix(storageId: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(4);
  // Without a slice: of a time when tables were dealt over the slices one by one.
  bytes.writeUInt32BE(storageId > idMask ? storageId : (((storageId & 7) << 29) | storageId) >>> 0);
  return concatBytes(tablePrefix, bytes);
}

/** The slice of the table space that a key of it lies in. */
export function sliceOf(key: Uint8Array): Span {
  const [, first = 0] = key;
  const slice = first >> (sliceBits - 24);
  const startKey = concatBytes(tablePrefix, Uint8Array.of(slice << (sliceBits - 24)));
  if (slice === slices - 1) return { startKey, endKey: prefixSpan(tablePrefix).endKey };
  return {
    startKey,
    endKey: concatBytes(tablePrefix, Uint8Array.of((slice + 1) << (sliceBits - 24))),
  };
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
    this.codec = new RowCodec(storedColumnsOf(table));
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
    const row: Datum[] = [];
    for (let i = 0; i < this.table.columns.length; i++) row.push(null);
    for (const { index } of this.keyColumns)
      if (needed[index] === true) {
        this.decodeKeyInto(row, key);
        break;
      }
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
