/**
 * Entries of a secondary index as key-value pairs: key = table prefix ‖ index number ‖ columns [‖ row], value = row. `row` is
 * what the row's key has behind its own prefix. A unique entry without NULLs is keyed by its columns alone, so that two of
 * them meet. A descending column is encoded and its bytes inverted; NULLs that PostgreSQL would not sort where the encoding
 * has them get a byte of their own.
 */
import { concatBytes, KeyReader, KeyWriter, prefixSpan, type Span } from '@flotilla/base';
import type { IndexColumn, IndexDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import type { Datum } from '../session-api.ts';
import type { SqlType } from '../types/type.ts';
import { indexKeyPrefix, readKeyValue, writeKeyValue } from './table-store.ts';

const lowestByte = Uint8Array.of(0x00);
const highestByte = Uint8Array.of(0xff);

const writer = new KeyWriter();

export interface IndexEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** The key must be absent. Otherwise it holds the row itself and is so by construction. */
  readonly unique: boolean;
}

export class IndexStore {
  readonly index: IndexDescriptor;
  readonly prefix: Uint8Array;
  /** Of the index's columns, in order. */
  readonly types: readonly SqlType[];
  /** Of the primary key's columns, which follow in the keys of an index that is not unique. */
  private readonly rowTypes: readonly SqlType[];

  constructor(table: TableDescriptor, index: IndexDescriptor, types: readonly SqlType[]) {
    this.index = index;
    this.types = types;
    this.prefix = indexKeyPrefix(table, index);
    this.rowTypes = (table.primaryKey?.columns ?? []).flatMap(
      (offset) => table.columns[offset]?.type ?? [],
    );
  }

  /** @param rowKey what the row's key has behind its prefix */
  entry(values: readonly Datum[], rowKey: Uint8Array): IndexEntry {
    const columns = this.columnsKey(values);
    if (this.index.unique && !values.includes(null))
      return { key: columns, value: rowKey, unique: true };
    return { key: concatBytes(columns, rowKey), value: rowKey, unique: false };
  }

  /** What entries with these values in the first columns begin with; behind the index's own those of the row's key. */
  columnsKey(values: readonly Datum[]): Uint8Array {
    const parts = [this.prefix];
    values.forEach((value, i) => {
      const column = this.index.columns[i] ?? rowKeyColumn;
      const type = this.types[i] ?? this.rowTypes[i - this.types.length];
      if (type !== undefined) parts.push(encoded(column, type, value));
    });
    return concatBytes(...parts);
  }

  /** The values in the key of an entry. Throws DbError CORRUPTION. */
  valuesOf(key: Uint8Array): Datum[] {
    return entryValues(key, this.prefix.length, this.types, this.index.columns);
  }

  /** Entries with these values in the first columns. */
  spanOf(values: readonly Datum[]): Span {
    return prefixSpan(this.columnsKey(values));
  }
}

/** The values in the key of an entry, behind its prefix. Throws DbError CORRUPTION. */
export function entryValues(
  key: Uint8Array,
  prefixLength: number,
  types: readonly SqlType[],
  columns: readonly Pick<IndexColumn, 'descending' | 'nullsFirst'>[],
): Datum[] {
  let at = prefixLength;
  return types.map((type, i) => {
    const column = columns[i];
    if (column !== undefined && key[at] === (column.nullsFirst ? 0x00 : 0xff)) {
      at++;
      return null;
    }
    const descending = column?.descending === true;
    const reader = descending
      ? new KeyReader(inverted(key.subarray(at)), 0)
      : new KeyReader(key, at);
    const value = readKeyValue(reader, type);
    at = descending ? at + reader.offset : reader.offset;
    return value;
  });
}

const rowKeyColumn: IndexColumn = { attributeNumber: 0, descending: false, nullsFirst: false };

function encoded({ descending, nullsFirst }: IndexColumn, type: SqlType, value: Datum): Uint8Array {
  if (value === null) return nullsFirst ? lowestByte : highestByte;
  writer.begin(new Uint8Array(0));
  writeKeyValue(writer, type, value);
  const bytes = writer.finish();
  return descending ? inverted(bytes) : bytes;
}

function inverted(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte) => ~byte);
}
