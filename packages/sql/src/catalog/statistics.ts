/**
 * What ANALYZE found out about tables, for the planner and pg_stats. Kept beside the descriptors: new statistics do not make
 * a table another one. Values are in text form; readers parse those that they compare with.
 */
import { DbError } from '@flotilla/base';

export interface ColumnStatistics {
  readonly attributeNumber: number;
  /** Share of NULLs. */
  readonly nullFraction: number;
  /** Of values that are not NULL. Unit: bytes. */
  readonly averageWidth: number;
  /** As pg_stats.n_distinct: a number of values, or, below zero, their negated share of the rows. */
  readonly distinct: number;
  /** The most common values with their share of all rows, most common first. */
  readonly common: readonly { readonly value: string; readonly frequency: number }[];
  /** Bounds between which lie equally many of the other values, in order. */
  readonly histogram: readonly string[];
}

export interface TableStatistics {
  /** The table's id. */
  readonly table: number;
  readonly rows: number;
  /** When it was found out: milliseconds since 1970. Absent in what was written before that was noted. */
  readonly at?: number;
  readonly columns: readonly ColumnStatistics[];
}

export type StatisticsOf = (table: number) => TableStatistics | undefined;

const formatVersion = 1;

export function encodeStatistics(statistics: TableStatistics): Uint8Array {
  return Buffer.from(JSON.stringify({ format: formatVersion, ...statistics }), 'utf8');
}

/** Undefined for a format of another version: one does without. Throws DbError CORRUPTION. */
export function decodeStatistics(bytes: Uint8Array): TableStatistics | undefined {
  try {
    const { format, ...statistics } = JSON.parse(Buffer.from(bytes).toString('utf8')) as {
      readonly format: number;
    } & TableStatistics;
    return format === formatVersion ? statistics : undefined;
  } catch (cause) {
    throw new DbError('CORRUPTION', 'statistics are no JSON', { cause });
  }
}

/** How many different values a column has. */
export function distinctValues(column: ColumnStatistics, rows: number): number {
  return Math.max(1, column.distinct < 0 ? -column.distinct * rows : column.distinct);
}
