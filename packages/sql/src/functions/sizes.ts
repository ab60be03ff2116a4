/**
 * Sizes of tables, indexes and databases: what the stores report of the live bytes of ranges. A range that several tables
 * share counts for each of them by equal parts. NULL where the engine knows no cluster: its store keeps no sizes.
 */
import { compareBytes, type Span } from '@flotilla/base';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import type { RangeFacts } from '../cluster/cluster-inspector.ts';
import type { Datum } from '../session-api.ts';
import { indexSpan, storageSpan } from '../storage/table-store.ts';
import { int8Type, nameType, oidType, regclassType, textType } from '../types/type.ts';
import { databaseByValue } from './database-lookup.ts';
import { catalogOf } from './sequences.ts';
import {
  type EvalContext,
  type Implementation,
  manySignature,
  type Signature,
  signature,
} from './signature.ts';

const volatile = { volatility: 'volatile' } as const;

/** Sums up what the ranges hold of some spans. */
function bytesIn(
  name: string,
  context: EvalContext,
  measure: (ranges: readonly RangeFacts[]) => number,
): Datum {
  const { backend } = catalogOf(context);
  const { cluster } = backend;
  if (cluster === undefined) return null;
  return backend.work.result(name, async () => BigInt(Math.round(measure(await cluster.ranges()))));
}

function overlaps(range: RangeFacts, { startKey, endKey }: Span): boolean {
  return (
    compareBytes(range.startKey, endKey) < 0 &&
    (range.endKey.length === 0 || compareBytes(startKey, range.endKey) < 0)
  );
}

function share(ranges: readonly RangeFacts[], span: Span, all: readonly Span[]): number {
  let bytes = 0;
  for (const range of ranges) {
    if (!overlaps(range, span)) continue;
    const sharers = all.filter((one) => overlaps(range, one));
    bytes += range.liveBytes / Math.max(1, sharers.length);
  }
  return bytes;
}

/** The rows, then each index. */
function partsOf(table: TableDescriptor): readonly Span[] {
  return [spanOfRows(table), ...table.indexes.map((index) => indexSpan(table, index))];
}

function spanOfRows(table: TableDescriptor): Span {
  const whole = storageSpan(table.storageId);
  const [first] = [...table.indexes]
    .map((index) => indexSpan(table, index).startKey)
    .sort(compareBytes);
  return first === undefined ? whole : { startKey: whole.startKey, endKey: first };
}

/** @param parts which spans of a table count; undefined where the oid is an index */
function relationSize(
  name: string,
  parts: (table: TableDescriptor) => readonly Span[],
): Implementation {
  return (oid, _b, _c, context) => {
    const { snapshot } = catalogOf(context).names;
    const tables = snapshot.tables();
    const table = snapshot.table(Number(oid));
    const owner = tables.find((one) => one.indexes.some((index) => index.oid === oid));
    const index = owner?.indexes.find((one) => one.oid === oid);
    const spans =
      table !== undefined
        ? parts(table)
        : owner !== undefined && index !== undefined
          ? [indexSpan(owner, index)]
          : undefined;
    // Views, sequences and system tables hold nothing that could be measured.
    if (spans === undefined) return snapshot.relations.has(Number(oid)) ? 0n : null;
    // Tables of other databases may share a range, too.
    const all = snapshot.everywhere().flatMap(partsOfAll);
    return bytesIn(`${name}/${String(oid)}`, context, (ranges) =>
      spans.reduce((sum, span) => sum + share(ranges, span, all), 0),
    );
  };
}

/** What its tables take; what the cluster keeps beside them is of none. */
const databaseSize: Implementation = (value, _b, _c, context) => {
  const database = databaseByValue(value, context);
  if (database === undefined) return null;
  const { snapshot } = catalogOf(context).names;
  const own = partsOfAll(snapshot.at(database.id));
  const all = snapshot.everywhere().flatMap(partsOfAll);
  return bytesIn(`pg_database_size/${database.id}`, context, (ranges) =>
    ranges.reduce((sum, range) => {
      const mine = own.filter((one) => overlaps(range, one)).length;
      if (mine === 0) return sum;
      return sum + (range.liveBytes * mine) / all.filter((one) => overlaps(range, one)).length;
    }, 0),
  );
};

function partsOfAll(snapshot: CatalogSnapshot): Span[] {
  return snapshot.tables().flatMap(partsOf);
}

const tablespaceSize: Implementation = (_tablespace, _b, _c, context) =>
  bytesIn('pg_tablespace_size', context, (ranges) =>
    ranges.reduce((sum, range) => sum + range.liveBytes, 0),
  );

const rowsOnly = (table: TableDescriptor): readonly Span[] => [spanOfRows(table)];
const indexesOnly = (table: TableDescriptor): readonly Span[] => partsOf(table).slice(1);

export const sizeFunctions: readonly Signature[] = [
  ...(
    [
      ['pg_relation_size', rowsOnly],
      ['pg_table_size', rowsOnly],
      ['pg_indexes_size', indexesOnly],
      ['pg_total_relation_size', partsOf],
    ] as const
  ).map(([name, parts]) =>
    signature(name, [regclassType], int8Type, relationSize(name, parts), volatile),
  ),
  manySignature(
    'pg_relation_size',
    [regclassType, textType],
    int8Type,
    ([oid = null, fork = null], context) =>
      fork === 'main' ? relationSize('pg_relation_size', rowsOnly)(oid, null, null, context) : 0n,
    volatile,
  ),
  signature('pg_database_size', [nameType], int8Type, databaseSize, volatile),
  signature('pg_database_size', [oidType], int8Type, databaseSize, volatile),
  // There is one place for everything, whatever it is called.
  signature('pg_tablespace_size', [nameType], int8Type, tablespaceSize, volatile),
  signature('pg_tablespace_size', [oidType], int8Type, tablespaceSize, volatile),
];
