/**
 * Keys of the cluster, of whatever database, as people read them: `public.accounts/accounts_pkey/1000` instead of bytes. What the catalog does not
 * know is printed as the key space alone explains it. For what people look at; nothing is ever looked up by it.
 */
import { asBuffer, KeyReader, keyText, tablePrefix, toHex } from '@flotilla/base';
import { idOfStorage, readKeyValue } from '../storage/table-store.ts';
import { quoteIdentifier } from '../types/identifier.ts';
import { formatText, type TextContext } from '../types/text-codec.ts';
import { isText, type SqlType } from '../types/type.ts';
import type { RelationDescriptor, TableDescriptor } from './descriptor.ts';
import { type CatalogSnapshot, contentsOf, databasesIn } from './snapshot.ts';

export interface KeyPlace {
  readonly schema?: string;
  readonly relation?: string;
  readonly index?: string;
}

interface KeyPart {
  readonly type: SqlType | undefined;
  readonly descending: boolean;
}

const prefixBytes = tablePrefix.length + 4;
/** A longer value is cut. Unit: characters. */
const valueCharactersMax = 40;

export class KeyNames {
  private readonly text: TextContext;
  private readonly byStorage = new Map<number, RelationDescriptor>();

  constructor(snapshot: CatalogSnapshot, text: TextContext) {
    this.text = text;
    for (const database of databasesIn(snapshot.contents))
      for (const relation of contentsOf(snapshot.contents, database).relations.values())
        if (relation.kind !== 'view') this.byStorage.set(idOfStorage(relation.storageId), relation);
  }

  /** What the key lies in; {} outside of the tables that are there. */
  placeOf(key: Uint8Array): KeyPlace {
    const relation = this.relationOf(key);
    if (relation === undefined) return {};
    const { schema, name } = relation;
    const index = relation.kind === 'table' ? indexOf(relation, key)?.name : undefined;
    return { schema, relation: name, ...(index === undefined ? {} : { index }) };
  }

  textOf(key: Uint8Array): string {
    const relation = this.relationOf(key);
    if (relation === undefined) return keyText(key);
    const name = `${quoteIdentifier(relation.schema)}.${quoteIdentifier(relation.name)}`;
    const index = relation.kind === 'table' ? indexOf(relation, key) : undefined;
    if (index === undefined)
      return key.length === prefixBytes ? name : `${name}/0x${toHex(key.subarray(prefixBytes))}`;
    return [
      name,
      quoteIdentifier(index.name),
      ...this.values(key.subarray(index.end), index.parts),
    ].join('/');
  }

  private relationOf(key: Uint8Array): RelationDescriptor | undefined {
    if (key.length < prefixBytes || key[0] !== tablePrefix[0]) return undefined;
    return this.byStorage.get(idOfStorage(asBuffer(key).readUInt32BE(tablePrefix.length)));
  }

  /** A bound may end anywhere: what does not decode is printed as bytes. */
  private values(bytes: Uint8Array, parts: readonly KeyPart[]): string[] {
    const shown: string[] = [];
    let rest = bytes;
    for (const { type, descending } of parts) {
      if (rest.length === 0) return shown;
      const plain = descending ? rest.map((byte) => ~byte) : Uint8Array.from(rest);
      try {
        if (type === undefined) break;
        const reader = new KeyReader(plain, 0);
        const value = readKeyValue(reader, type);
        rest = rest.subarray(reader.offset);
        shown.push(value === null ? 'NULL' : this.valueText(type, value));
      } catch {
        break;
      }
    }
    if (rest.length > 0) shown.push(`0x${toHex(rest)}`);
    return shown;
  }

  private valueText(type: SqlType, value: Parameters<typeof formatText>[1]): string {
    const text = formatText(type, value, this.text);
    const cut = text.length > valueCharactersMax ? `${text.slice(0, valueCharactersMax)}…` : text;
    return isText(type) ? JSON.stringify(cut) : cut;
  }
}

interface FoundIndex {
  readonly name: string;
  readonly parts: readonly KeyPart[];
  /** Where the key's columns begin. */
  readonly end: number;
}

/** Undefined: the key ends before, or the index is gone. */
function indexOf(table: TableDescriptor, key: Uint8Array): FoundIndex | undefined {
  if (key.length === prefixBytes) return undefined;
  let number: number;
  let end: number;
  try {
    const reader = new KeyReader(key, prefixBytes);
    number = Number(reader.bigInteger());
    end = reader.offset;
  } catch {
    return undefined;
  }
  if (number === 0) {
    const { primaryKey } = table;
    // Rows of a table without a primary key are kept by a hidden number.
    if (primaryKey === undefined) return { name: table.name, parts: [], end };
    const parts = primaryKey.columns.map((at) => ({
      type: table.columns[at]?.type,
      descending: false,
    }));
    return { name: primaryKey.constraint, parts, end };
  }
  const index = table.indexes.find((one) => one.number === number);
  if (index === undefined) return undefined;
  const parts = index.columns.map(({ attributeNumber, descending }) => ({
    type: table.columns.find((one) => one.attributeNumber === attributeNumber)?.type,
    descending,
  }));
  return { name: index.name, parts, end };
}
