/** pg_class and what hangs on it: attributes, defaults, indexes, sequences, and the views over them. */

import { timestampFromUnixMs } from '../../types/timestamp.ts';
import { boolType, type SqlType } from '../../types/type.ts';
import { ArrayValue } from '../../types/values.ts';
import { allIndexes, defaultText, indexText, rangeOptionTexts } from '../definitions.ts';
import { columnAt, type RelationDescriptor, type TableDescriptor } from '../descriptor.ts';
import { isMaterialized, storedQueryOf } from '../relation-word.ts';
import type { CatalogSnapshot } from '../snapshot.ts';
import { isTemporarySchema } from '../temporary-schema.ts';
import { aclArray, systemTableAcl } from './acl-array.ts';
import { type RowsOf, type SystemRow, systemShapes } from './layout.ts';
import { bootstrapRoleOid, defaultOid, ownerOid, schemaOid } from './system-oids.ts';
import { collationOf, operatorClassOf, storageOf } from './types.ts';
import type { VirtualSource } from './virtual-table.ts';

const kinds = { table: 'r', view: 'v', sequence: 'S' } as const;
const heap = 2;
const btree = 403;

function* classes({ snapshot }: VirtualSource): Iterable<SystemRow> {
  const common = { relpersistence: 'p', relreplident: 'd', relispopulated: true, reltuples: -1 };
  for (const relation of snapshot.sorted()) {
    const { id, name, schema } = relation;
    const relnamespace = schemaOid(snapshot, schema);
    const table = relation.kind === 'table' ? relation : undefined;
    const relpersistence = isTemporarySchema(schema) ? 't' : 'p';
    yield {
      ...common,
      relpersistence,
      oid: id,
      relname: name,
      relnamespace,
      relowner: ownerOid(snapshot, relation),
      relam: table === undefined ? 0 : heap,
      relfilenode: relation.kind === 'view' ? 0 : relation.storageId,
      relkind: isMaterialized(relation) ? 'm' : kinds[relation.kind],
      reltuples: snapshot.statisticsOf(id)?.rows ?? -1,
      relacl: aclArray(relation.acl),
      reloptions:
        table?.ranges === undefined ? null : new ArrayValue(rangeOptionTexts(table.ranges)),
      relnatts: widthOf(relation),
      relchecks: table?.checks.length ?? 0,
      relhasindex: table !== undefined && allIndexes(table).length > 0,
      relhasrules: storedQueryOf(relation) !== undefined,
      relispopulated: table?.materialized?.populated !== false,
      relhastriggers: table !== undefined && hasForeignKeys(table, snapshot),
      relreplident: table === undefined ? 'n' : 'd',
    };
    if (table === undefined) continue;
    for (const index of allIndexes(table))
      yield {
        ...common,
        relpersistence,
        oid: index.oid,
        relname: index.name,
        relnamespace,
        relowner: ownerOid(snapshot, table),
        relam: btree,
        relfilenode: index.oid,
        relkind: 'i',
        relnatts: index.columns.length + index.included.length,
        relreplident: 'n',
      };
  }
  for (const shape of systemShapes)
    yield {
      ...common,
      oid: shape.oid,
      relname: shape.name,
      relnamespace: schemaOid(snapshot, shape.schema),
      relowner: bootstrapRoleOid,
      relacl: aclArray(systemTableAcl(shape.name)),
      relam: shape.relkind === 'r' ? heap : 0,
      relkind: shape.relkind,
      relnatts: shape.columns.length,
      relreplident: 'n',
    };
}

/** PostgreSQL keeps them by triggers, on both sides. */
function hasForeignKeys(table: TableDescriptor, snapshot: CatalogSnapshot): boolean {
  return table.foreignKeys.length > 0 || snapshot.referencing(table.id).length > 0;
}

function widthOf(relation: RelationDescriptor): number {
  if (relation.kind === 'sequence') return 3;
  if (relation.kind === 'view') return relation.columns.length;
  return relation.columns.length + relation.dropped.length;
}

function attribute(type: SqlType, modifier: number): SystemRow {
  return {
    atttypid: type.oid,
    atttypmod: modifier,
    attstattarget: -1,
    attlen: type.length,
    attcacheoff: -1,
    attbyval: type.length > 0 && type.length <= 8 && type.name !== 'name',
    attalign: type.length === 1 ? 'c' : type.length === 2 ? 's' : type.length === 8 ? 'd' : 'i',
    attstorage: storageOf(type),
    attcompression: '',
    attislocal: true,
    attcollation: collationOf(type),
  };
}

function* attributes({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const relation of snapshot.sorted()) {
    if (relation.kind === 'sequence') continue;
    if (relation.kind === 'view') {
      for (const [i, column] of relation.columns.entries())
        yield {
          ...attribute(column.type, column.modifier),
          attrelid: relation.id,
          attname: column.name,
          attnum: i + 1,
          attacl: aclArray(relation.columnAcls?.[i + 1]),
        };
      continue;
    }
    for (const column of relation.columns) {
      const has =
        column.generated !== undefined || defaultText(column, snapshot, undefined) !== undefined;
      yield {
        ...attribute(column.type, column.modifier),
        attrelid: relation.id,
        attname: column.name,
        attnum: column.attributeNumber,
        attacl: aclArray(relation.columnAcls?.[column.attributeNumber]),
        attnotnull: column.notNull,
        atthasdef: has,
        atthasmissing: column.missing !== undefined,
        attidentity: column.identity === undefined ? '' : column.identity === 'always' ? 'a' : 'd',
        attgenerated: column.generated === undefined ? '' : 's',
      };
    }
    for (const column of relation.dropped)
      yield {
        ...attribute(column.type, -1),
        attrelid: relation.id,
        attname: `........pg.dropped.${column.attributeNumber}........`,
        attnum: column.attributeNumber,
        atttypid: 0,
        attisdropped: true,
      };
    for (const index of allIndexes(relation))
      for (const [i, part] of index.columns.entries()) {
        const column = relation.columns.find((one) => one.attributeNumber === part.attributeNumber);
        yield {
          ...attribute(column?.type ?? boolType, column?.modifier ?? -1),
          attrelid: index.oid,
          attname: column?.name ?? 'expr',
          attnum: i + 1,
        };
      }
    for (const index of relation.indexes)
      for (const [i, number] of index.included.entries()) {
        const column = columnAt(relation, number);
        yield {
          ...attribute(column.type, column.modifier),
          attrelid: index.oid,
          attname: column.name,
          attnum: index.columns.length + i + 1,
        };
      }
  }
  for (const shape of systemShapes)
    for (const [i, column] of shape.columns.entries())
      yield {
        ...attribute(column.type, -1),
        attrelid: shape.oid,
        attname: column.name,
        attnum: i + 1,
      };
}

function* defaults({ snapshot, names }: VirtualSource): Iterable<SystemRow> {
  for (const table of snapshot.tables())
    for (const column of table.columns) {
      const text = defaultText(column, snapshot, names);
      if (text === undefined) continue;
      yield {
        oid: defaultOid(table, column),
        adrelid: table.id,
        adnum: column.attributeNumber,
        adbin: text,
      };
    }
}

/** A vector counts from 0. */
function vector(elements: readonly number[]): ArrayValue {
  return new ArrayValue(elements, [{ length: elements.length, lower: 0 }]);
}

function* indexes({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const table of snapshot.tables())
    for (const index of allIndexes(table)) {
      const types = index.columns.map(
        (part) => table.columns.find((one) => one.attributeNumber === part.attributeNumber)?.type,
      );
      yield {
        indexrelid: index.oid,
        indrelid: table.id,
        indnatts: index.columns.length + index.included.length,
        indnkeyatts: index.columns.length,
        indisunique: index.unique,
        indisprimary: index.primary === true || index.oid === table.primaryKey?.indexOid,
        indimmediate: index.deferrable === undefined,
        indisvalid: true,
        indisready: true,
        indislive: true,
        indkey: vector([...index.columns.map((one) => one.attributeNumber), ...index.included]),
        indcollation: vector(types.map((type) => (type === undefined ? 0 : collationOf(type)))),
        indclass: vector(types.map((type) => operatorClassOf(type))),
        indoption: vector(
          index.columns.map((one) => (one.descending ? 1 : 0) + (one.nullsFirst ? 2 : 0)),
        ),
        indexprs: expressionsOf(index.columns.flatMap((one) => one.expression ?? [])),
        indpred: index.predicate ?? null,
      };
    }
}

function expressionsOf(texts: readonly string[]): string | null {
  return texts.length === 0 ? null : texts.join(', ');
}

function userTables({ snapshot }: VirtualSource): TableDescriptor[] {
  return snapshot.tables();
}

function* tablesView(source: VirtualSource): Iterable<SystemRow> {
  for (const table of userTables(source)) {
    if (isMaterialized(table)) continue;
    yield {
      schemaname: table.schema,
      tablename: table.name,
      tableowner: table.owner,
      hasindexes: allIndexes(table).length > 0,
      hastriggers: hasForeignKeys(table, source.snapshot),
    };
  }
  for (const shape of systemShapes)
    if (shape.relkind === 'r')
      yield {
        schemaname: shape.schema,
        tablename: shape.name,
        tableowner: 'postgres',
        hasindexes: true,
      };
}

function* indexesView(source: VirtualSource): Iterable<SystemRow> {
  for (const table of userTables(source))
    for (const index of allIndexes(table))
      yield {
        schemaname: table.schema,
        tablename: table.name,
        indexname: index.name,
        indexdef: indexText(table, index, undefined),
      };
}

function* viewsView({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const view of snapshot.sorted())
    if (view.kind === 'view')
      yield {
        schemaname: view.schema,
        viewname: view.name,
        viewowner: view.owner,
        definition: ` ${view.query};`,
      };
}

function* materializedViews({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const view of snapshot.tables())
    if (view.materialized !== undefined)
      yield {
        schemaname: view.schema,
        matviewname: view.name,
        matviewowner: view.owner,
        hasindexes: view.indexes.length > 0,
        ispopulated: view.materialized.populated,
        definition: ` ${view.materialized.query};`,
      };
}

const typeOids = { int2: 21, int4: 23, int8: 20 } as const;

function* sequences({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const sequence of snapshot.sorted()) {
    if (sequence.kind !== 'sequence') continue;
    const { options } = sequence;
    yield {
      seqrelid: sequence.id,
      seqtypid: typeOids[options.type],
      seqstart: options.start,
      seqincrement: options.increment,
      seqmax: options.maximum,
      seqmin: options.minimum,
      seqcache: options.cache,
      seqcycle: options.cycle,
    };
  }
}

async function* sequencesView(source: VirtualSource): AsyncIterable<SystemRow> {
  for (const sequence of source.snapshot.sorted()) {
    if (sequence.kind !== 'sequence') continue;
    const { options } = sequence;
    const { last, called } = await source.sequenceState(sequence);
    yield {
      schemaname: sequence.schema,
      sequencename: sequence.name,
      sequenceowner: sequence.owner,
      data_type: typeOids[options.type],
      start_value: options.start,
      min_value: options.minimum,
      max_value: options.maximum,
      increment_by: options.increment,
      cycle: options.cycle,
      cache_size: options.cache,
      last_value: called ? last : null,
    };
  }
}

function* tableStatistics(source: VirtualSource): Iterable<SystemRow> {
  for (const table of userTables(source)) {
    const { rows, at } = source.snapshot.statisticsOf(table.id) ?? {};
    yield {
      relid: table.id,
      schemaname: table.schema,
      relname: table.name,
      n_live_tup: rows === undefined ? null : BigInt(rows),
      last_analyze: at === undefined ? null : timestampFromUnixMs(at),
    };
  }
}

/** pg_stats. Values of whatever type are shown as the text of an array. */
function* columnStatistics(source: VirtualSource): Iterable<SystemRow> {
  for (const table of userTables(source)) {
    const statistics = source.snapshot.statisticsOf(table.id);
    for (const column of statistics?.columns ?? []) {
      const named = table.columns.find((one) => one.attributeNumber === column.attributeNumber);
      if (named === undefined) continue;
      const { common, histogram } = column;
      yield {
        schemaname: table.schema,
        tablename: table.name,
        attname: named.name,
        inherited: false,
        null_frac: column.nullFraction,
        avg_width: column.averageWidth,
        n_distinct: column.distinct,
        most_common_vals: common.length === 0 ? null : arrayText(common.map((one) => one.value)),
        most_common_freqs:
          common.length === 0 ? null : new ArrayValue(common.map((one) => one.frequency)),
        histogram_bounds: histogram.length === 0 ? null : arrayText(histogram),
      };
    }
  }
}

function arrayText(values: readonly string[]): string {
  const quoted = values.map((value) =>
    /^[\w.+-]+$/.test(value) && value.toLowerCase() !== 'null'
      ? value
      : `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`,
  );
  return `{${quoted.join(',')}}`;
}

function* indexStatistics(source: VirtualSource): Iterable<SystemRow> {
  for (const table of userTables(source))
    for (const index of allIndexes(table))
      yield {
        relid: table.id,
        indexrelid: index.oid,
        schemaname: table.schema,
        relname: table.name,
        indexrelname: index.name,
      };
}

export const relationTables: Readonly<Record<string, RowsOf>> = {
  pg_class: classes,
  pg_attribute: attributes,
  pg_attrdef: defaults,
  pg_index: indexes,
  pg_tables: tablesView,
  pg_indexes: indexesView,
  pg_views: viewsView,
  pg_matviews: materializedViews,
  pg_sequence: sequences,
  pg_sequences: sequencesView,
  pg_stats: columnStatistics,
  pg_stat_user_tables: tableStatistics,
  pg_stat_all_tables: tableStatistics,
  pg_statio_user_tables: tableStatistics,
  pg_statio_all_tables: tableStatistics,
  pg_stat_user_indexes: indexStatistics,
  pg_stat_all_indexes: indexStatistics,
};
