/**
 * How many rows: of tables, of predicates, of keys, of joins. By what ANALYZE found out; without that tables are taken for
 * middling and predicates for as selective as such predicates usually are. Estimates decide between plans, never about results.
 */
import type { Expression } from '../bind/expression.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import {
  type ColumnStatistics,
  distinctValues,
  type TableStatistics,
} from '../catalog/statistics.ts';
import type { Datum } from '../session-api.ts';
import { storedText } from '../types/stored-text.ts';
import { parseText } from '../types/text-codec.ts';
import type { SqlType } from '../types/type.ts';
import { type AccessPath, columnOf, type KeyBound, type KeyPart, keyTest } from './access-path.ts';
import type { ReadableIndex } from './index-path.ts';
import { isUniqueAccess, primaryPartsOf } from './plan-table.ts';

/** Of a table that was never analyzed. */
export const unknownTableRows: number = 10_000;
/** Values of a column that nobody has counted. */
const unknownDistinct = 200;
/** Elements of an array that is a parameter. */
const unknownArrayItems = 10;
/** One bound, and two, by values that are not known. */
const unknownBound = 1 / 3;
const unknownInterval = 0.02;

/** A table with what is known about it. */
export interface KnownTable {
  readonly table: TableDescriptor;
  readonly statistics: TableStatistics | undefined;
}

export function tableRowsOf({ statistics }: KnownTable): number {
  return statistics?.rows ?? unknownTableRows;
}

/** The part of a table's rows for which a predicate over its own row holds. */
export function selectivityOf(condition: Expression, known?: KnownTable): number {
  if (condition.kind === 'and')
    return condition.arguments.reduce((all, one) => all * selectivityOf(one, known), 1);
  if (condition.kind === 'or')
    return 1 - condition.arguments.reduce((all, one) => all * (1 - selectivityOf(one, known)), 1);
  if (condition.kind === 'not') return 1 - selectivityOf(condition.argument, known);
  const byStatistics = known && knownSelectivity(condition, known);
  if (byStatistics !== undefined) return byStatistics;
  switch (condition.kind) {
    case 'comparison':
      return condition.operator === '=' ? 0.1 : condition.operator === '<>' ? 0.9 : 0.4;
    case 'in':
      return condition.negated ? 0.8 : Math.min(0.5, 0.1 * condition.items.length);
    case 'is-null':
      return condition.negated ? 0.95 : 0.05;
    default:
      return 0.5;
  }
}

function knownSelectivity(condition: Expression, known: KnownTable): number | undefined {
  const test = keyTest(condition);
  const column = test && statisticsOf(known, columnOf(test.operand) ?? -1);
  if (test === undefined || column === undefined) return undefined;
  switch (test.kind) {
    case 'null':
      return column.own.nullFraction;
    case 'not null':
      return 1 - column.own.nullFraction;
    case 'array':
      return Math.min(1, unknownArrayItems * equalShare(column, undefined));
    case 'pattern':
      return 0.05;
    case 'comparison': {
      const { operator, values } = test;
      const equal = values.reduce((sum, one) => sum + equalShare(column, one), 0);
      if (operator === '=') return Math.min(1, equal);
      if (operator === '<>') return Math.max(0, 1 - equal - column.own.nullFraction);
      const [value] = values;
      const inclusive = operator.endsWith('=');
      const bound = value && { value, inclusive };
      return operator.startsWith('>')
        ? rangeShare(column, bound, undefined)
        : rangeShare(column, undefined, bound);
    }
  }
}

/** A column's statistics with its values as such. */
interface KnownColumn {
  readonly own: ColumnStatistics;
  readonly type: SqlType;
  readonly rows: number;
}

const parsedValues = new WeakMap<
  ColumnStatistics,
  { readonly common: readonly Datum[]; readonly histogram: readonly Datum[] }
>();

function statisticsOf({ table, statistics }: KnownTable, offset: number): KnownColumn | undefined {
  const column = table.columns[offset];
  const own = statistics?.columns.find((one) => one.attributeNumber === column?.attributeNumber);
  if (column === undefined || own === undefined || statistics === undefined) return undefined;
  return { own, type: column.type, rows: Math.max(1, statistics.rows) };
}

function valuesOf({ own, type }: KnownColumn) {
  let values = parsedValues.get(own);
  if (values === undefined) {
    const parse = (text: string) => parseText(type, text, storedText);
    values = {
      common: own.common.map(({ value }) => parse(value)),
      histogram: own.histogram.map(parse),
    };
    parsedValues.set(own, values);
  }
  return values;
}

/** A value that is known when the plan is made, if it compares with the column's as they do among themselves. */
function constantOf(value: Expression | undefined, type: SqlType): Datum | undefined {
  if (value?.kind !== 'constant' || value.value === null) return undefined;
  return typeof value.value === 'number' || value.type === type || type.category === 'S'
    ? value.value
    : undefined;
}

/** The share of rows with a value. @param value undefined: any */
function equalShare(column: KnownColumn, value: Expression | undefined): number {
  const { own, type, rows } = column;
  const constant = constantOf(value, type);
  const compare = type.codec?.compare;
  const distinct = distinctValues(own, rows);
  const shared = own.common.reduce((sum, { frequency }) => sum + frequency, 0);
  if (constant === undefined || compare === undefined) return (1 - own.nullFraction) / distinct;
  const at = valuesOf(column).common.findIndex((one) => compare(one, constant) === 0);
  const found = own.common[at];
  if (found !== undefined) return found.frequency;
  const rest = Math.max(0, 1 - own.nullFraction - shared);
  return Math.min(rest, rest / Math.max(1, distinct - own.common.length)) || 1 / (rows * 10);
}

/** The share of rows between two bounds. */
function rangeShare(
  column: KnownColumn,
  lower: KeyBound | undefined,
  upper: KeyBound | undefined,
): number {
  const { own, type, rows } = column;
  const compare = type.codec?.compare;
  const [low, high] = [constantOf(lower?.value, type), constantOf(upper?.value, type)];
  const unknown =
    (lower !== undefined && low === undefined) || (upper !== undefined && high === undefined);
  if (unknown || compare === undefined)
    return lower !== undefined && upper !== undefined ? unknownInterval : unknownBound;
  const { common, histogram } = valuesOf(column);
  const isWithin = (value: Datum) => {
    const above = low === undefined ? 1 : compare(value, low);
    const below = high === undefined ? -1 : compare(value, high);
    return (
      (above > 0 || (above === 0 && lower?.inclusive === true)) &&
      (below < 0 || (below === 0 && upper?.inclusive === true))
    );
  };
  let share = 0;
  let shared = 0;
  own.common.forEach(({ frequency }, i) => {
    shared += frequency;
    if (isWithin(common[i] ?? null)) share += frequency;
  });
  const rest = Math.max(0, 1 - own.nullFraction - shared);
  if (histogram.length > 1) {
    const from = low === undefined ? 0 : position(histogram, low, compare);
    const to = high === undefined ? 1 : position(histogram, high, compare);
    share += rest * Math.max(0, to - from);
  } else share += rest * unknownBound;
  return Math.min(1, Math.max(share, 1 / rows));
}

/** Which share of a histogram lies below a value. */
function position(
  histogram: readonly Datum[],
  value: Datum,
  compare: (a: Datum, b: Datum) => number,
): number {
  let [low, high] = [0, histogram.length - 1];
  if (compare(value, histogram[0] ?? null) <= 0) return 0;
  if (compare(value, histogram[high] ?? null) >= 0) return 1;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (compare(histogram[middle] ?? null, value) <= 0) low = middle;
    else high = middle;
  }
  const [a, b] = [histogram[low], histogram[high]];
  const inside =
    typeof a === 'number' && typeof b === 'number' && typeof value === 'number' && b > a
      ? (value - a) / (b - a)
      : 0.5;
  return (low + inside) / (histogram.length - 1);
}

/** The part of a table that a key's access leads to. */
function accessSelectivity(
  access: AccessPath,
  parts: readonly KeyPart[],
  known: KnownTable,
): number {
  let part = 1;
  const columnAt = (i: number) => statisticsOf(known, parts[i]?.column ?? -1);
  access.equals.forEach((one, i) => {
    const column = columnAt(i);
    const each =
      column === undefined ? (i === 0 ? 1 / unknownDistinct : 0.1) : equalShare(column, undefined);
    if (one.kind === 'null') part *= column?.own.nullFraction ?? each;
    else if (one.kind === 'array') part *= Math.min(1, each * unknownArrayItems);
    else if (column === undefined) part *= Math.min(1, each * one.values.length);
    else
      part *= Math.min(
        1,
        one.values.reduce((sum, value) => sum + equalShare(column, value), 0),
      );
  });
  const { lower, upper, pattern, notNull, equals } = access;
  const column = columnAt(equals.length);
  if (lower !== undefined || upper !== undefined) {
    if (column !== undefined) return part * rangeShare(column, lower, upper);
    return part * (lower !== undefined && upper !== undefined ? 0.05 : 0.1);
  }
  if (pattern !== undefined) return part * 0.05;
  return notNull ? part * (1 - (column?.own.nullFraction ?? 0.05)) : part;
}

/** Values that an access names by whole keys. */
export function pointsOf({ equals }: AccessPath): number {
  return equals.reduce(
    (all, one) =>
      all *
      (one.kind === 'values' ? one.values.length : one.kind === 'array' ? unknownArrayItems : 1),
    1,
  );
}

/** Rows that are read along an access, before the filter. */
export function accessRows(
  known: KnownTable,
  access: AccessPath,
  index: ReadableIndex | undefined,
): number {
  const rows = tableRowsOf(known);
  const parts = primaryPartsOf(known.table);
  const single =
    index === undefined
      ? parts.length > 0 && access.equals.length >= parts.length
      : isUniqueAccess(access, index);
  if (single) return pointsOf(access);
  return Math.max(1, rows * accessSelectivity(access, index?.parts ?? parts, known));
}

/** How many different values an expression over a table's own row has. */
export function distinctOf(expression: Expression, known: KnownTable): number {
  const rows = tableRowsOf(known);
  const offset = columnOf(expression) ?? -1;
  const column = statisticsOf(known, offset);
  if (column !== undefined && column.own.distinct !== 0) return distinctValues(column.own, rows);
  const [only, second] = primaryPartsOf(known.table);
  if (only?.column === offset && second === undefined) return Math.max(1, rows);
  return Math.max(1, Math.min(rows, unknownDistinct));
}
