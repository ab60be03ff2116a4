/** ANALYZE: counts a table's rows, and describes the columns by a random sample of them. */
import { type Clock, compareBytes, DbError, type Prng } from '@flotilla/base';
import type { Catalog } from '../catalog/catalog.ts';
import type { ColumnDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import {
  catalogVersionKey,
  decodeCounter,
  descriptorKey,
  encodeCounter,
  statisticsKey,
} from '../catalog/keys.ts';
import {
  type ColumnStatistics,
  encodeStatistics,
  type TableStatistics,
} from '../catalog/statistics.ts';
import type { KvDatabase } from '../kv-transaction.ts';
import {
  conflictRunsMax,
  statisticsSampleRows,
  statisticsTargets,
  statisticsWidthMax,
} from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { TableStore } from '../storage/table-store.ts';
import { storedText } from '../types/stored-text.ts';
import { formatText } from '../types/text-codec.ts';
import { datumBytes } from '../types/values.ts';
import type { Row } from './evaluate.ts';
import { sampleOf } from './push/sampling.ts';
import type { Pace } from './run.ts';

export interface AnalyzeOptions {
  readonly database: KvDatabase;
  readonly catalog: Catalog;
  readonly pace: Pace;
  readonly prng: Prng;
  readonly clock: Clock;
}

/** Reads the table in snapshots of its own, and writes what it found. Errors: those of KvTransaction. */
export async function analyze(table: TableDescriptor, options: AnalyzeOptions): Promise<void> {
  const statistics = await describe(table, options);
  const { database, catalog, pace } = options;
  for (let attempt = 1; ; attempt++) {
    pace.check();
    const transaction = database.begin();
    try {
      let version = 0;
      await catalog.publish(transaction, async () => {
        version = decodeCounter(await transaction.get(catalogVersionKey)) + 1;
        transaction.put(catalogVersionKey, encodeCounter(version));
        // Statistics of a table that was dropped meanwhile would stay for ever.
        if ((await transaction.get(descriptorKey(table.id))) !== undefined)
          transaction.put(statisticsKey(table.id), encodeStatistics(statistics));
        return version;
      });
      await catalog.load(version);
      return;
    } catch (error) {
      transaction.rollback();
      const conflict = error instanceof DbError && error.code === 'CONFLICT';
      if (!conflict || attempt >= conflictRunsMax) throw error;
      await pace.rest();
    }
  }
}

/**
 * As `analyze`, but the catalog stays what it is: whoever changes it meanwhile is not in conflict with this, and plans elsewhere
 * hear of it with the next change. Errors: those of KvTransaction; CONFLICT: the table was changed or dropped.
 */
export async function analyzeQuietly(
  table: TableDescriptor,
  options: AnalyzeOptions,
): Promise<void> {
  const { database, catalog } = options;
  const key = descriptorKey(table.id);
  const before = await database.begin({ readOnly: true }).get(key);
  if (before === undefined) return;
  const statistics = await describe(table, options);
  // Begins after what may have taken longer than any transaction may.
  const transaction = database.begin();
  try {
    const now = await transaction.get(key);
    if (now === undefined || compareBytes(now, before) !== 0)
      throw new DbError('CONFLICT', 'the table was changed while it was analyzed');
    transaction.put(statisticsKey(table.id), encodeStatistics(statistics));
    await transaction.commit();
  } catch (error) {
    transaction.rollback();
    throw error;
  }
  await catalog.loadStatistics();
}

async function describe(table: TableDescriptor, options: AnalyzeOptions): Promise<TableStatistics> {
  const { database, pace, prng, clock } = options;
  const store = new TableStore(table);
  const all = table.columns.map(() => true);
  const sample = await sampleOf(store.rowsSpan(), {
    rows: statisticsSampleRows,
    seed: prng.nextBelow(2 ** 31),
    ...{ pace, clock },
    begin: () => database.begin({ readOnly: true }),
  });
  const rows = sample.of;
  const decoded: Row[] = [];
  for (const { key, value } of sample.rows) {
    decoded.push(store.decodeRow(key, value, all));
    if (pace.due()) await pace.rest();
  }
  const columns: ColumnStatistics[] = [];
  for (const [offset, column] of table.columns.entries()) {
    columns.push(describeColumn(column, offset, decoded, rows));
    if (pace.due()) await pace.rest();
  }
  return { table: table.id, rows, at: options.clock.wallMs(), columns };
}

/** Values in order, each with how often it is in the sample. */
interface Counted {
  readonly value: Datum;
  count: number;
}

function describeColumn(
  { type, attributeNumber }: ColumnDescriptor,
  offset: number,
  sample: readonly Row[],
  rows: number,
): ColumnStatistics {
  const values = sample.flatMap((row) => row[offset] ?? []) as Datum[];
  const nullFraction = sample.length === 0 ? 0 : 1 - values.length / sample.length;
  const bytes = values.reduce<number>((sum, value) => sum + datumBytes(value), 0);
  const averageWidth = values.length === 0 ? 0 : Math.round(bytes / values.length);
  const compare = type.codec?.compare;
  const facts = { attributeNumber, nullFraction, averageWidth };
  if (compare === undefined || values.length === 0 || averageWidth > statisticsWidthMax)
    return { ...facts, distinct: 0, common: [], histogram: [] };
  values.sort(compare);
  const counted: Counted[] = [];
  for (const value of values) {
    const last = counted[counted.length - 1];
    if (last !== undefined && compare(last.value, value) === 0) last.count++;
    else counted.push({ value, count: 1 });
  }
  const text = (value: Datum) => formatText(type, value, storedText);
  const common = commonValues(counted, values.length);
  const isCommon = new Set(common);
  const others = counted.filter((one) => !isCommon.has(one));
  return {
    ...facts,
    distinct: distinctOf(counted, values.length, rows * (1 - nullFraction)),
    common: common.map(({ value, count }) => ({
      value: text(value),
      frequency: count / sample.length,
    })),
    histogram: histogramOf(others).map(text),
  };
}

/** Haas and Stokes, as PostgreSQL estimates it. */
function distinctOf(counted: readonly Counted[], sampled: number, rows: number): number {
  const once = counted.filter(({ count }) => count === 1).length;
  if (once === sampled) return -1;
  const found = counted.length;
  if (sampled >= rows || once === 0) return found > 0.1 * rows ? -found / rows : found;
  const estimate = (sampled * found) / (sampled - once + (once * sampled) / rows);
  const distinct = Math.min(rows, Math.max(found, estimate));
  return distinct > 0.1 * rows ? -distinct / rows : Math.round(distinct);
}

function commonValues(counted: readonly Counted[], sampled: number): Counted[] {
  const average = sampled / counted.length;
  const all = counted.length <= statisticsTargets;
  return counted
    .filter(({ count }) => count > 1 && (all || count > average * 1.25))
    .sort((a, b) => b.count - a.count)
    .slice(0, statisticsTargets);
}

function histogramOf(counted: readonly Counted[]): Datum[] {
  if (counted.length < 2) return [];
  const total = counted.reduce((sum, { count }) => sum + count, 0);
  const bounds = Math.min(statisticsTargets, counted.length - 1);
  const histogram: Datum[] = [];
  let passed = 0;
  let next = 0;
  for (const { value, count } of counted) {
    passed += count;
    while (next <= bounds && passed > ((total - 1) * next) / bounds) {
      histogram.push(value);
      next++;
    }
  }
  return histogram;
}
