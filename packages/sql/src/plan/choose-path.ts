/**
 * Which way a table is read: in the order of its own keys, or by one of its secondary indexes. Each way is given a cost in
 * rows of a plain scan: what is read, what is fetched beside it, and what is left to sort.
 */

import { conjuncts } from '../bind/conjuncts.ts';
import type { Expression } from '../bind/expression.ts';
import { markColumns } from '../bind/expression-tree.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { StatisticsOf } from '../catalog/statistics.ts';
import { type AccessPath, isPointAccess, isRestricted, Predicate } from './access-path.ts';
import { accessRows, type KnownTable, pointsOf, selectivityOf } from './estimate.ts';
import { impliedBy, indexesOf, type ReadableIndex } from './index-path.ts';
import { type AskedOrder, keyOrder, primaryPartsOf, type TablePath } from './plan-table.ts';

export interface ChosenPath extends TablePath {
  /** What is left to check on each row. */
  readonly filter: Expression | undefined;
  /** The order that was asked for is the path's own. */
  readonly order: 'forward' | 'reverse' | undefined;
  /** Rows that leave the filter. A guess. */
  readonly rows: number;
  readonly cost: number;
}

/** The outputs are over a row in which the table begins at `offset`. */
export interface WantedOrder extends AskedOrder {
  readonly offset: number;
  /** Paths without that order are no paths. */
  readonly must?: boolean;
  /** Rows that are enough; undefined: all. */
  readonly limit: number | undefined;
}

export interface PathQuestion {
  readonly table: TableDescriptor;
  /** Over the table's own row. */
  readonly where: Expression | undefined;
  /** By offset into the table's columns: what is read above the filter. Undefined: all. */
  readonly needed: readonly boolean[] | undefined;
  readonly order: WantedOrder | undefined;
  readonly sources: PlanSources;
}

/** What a plan may rest on besides the statement. */
export interface PlanSources {
  /** Whether the transaction may read an index; undefined: all of them. */
  readonly usable?: IndexTest | undefined;
  readonly statisticsOf?: StatisticsOf | undefined;
}

export function knownTable(table: TableDescriptor, { statisticsOf }: PlanSources): KnownTable {
  return { table, statistics: statisticsOf?.(table.id) };
}

export type IndexTest = (table: TableDescriptor, indexNumber: number) => boolean;

/** A round trip, in rows of a scan. */
const tripCost = 5;
/** Each further span. */
const spanCost = 2;
/** A row that is fetched by its key. */
const fetchCost = 3;
/** What reading a whole table costs at least. */
const leastScan = 50;
/** A comparison of a sort. */
const compareCost = 0.25;

export function choosePath(question: PathQuestion): ChosenPath {
  const { table, where, sources } = question;
  const { usable } = sources;
  const predicate = new Predicate(where);
  const parts = primaryPartsOf(table);
  const own = predicate.access(parts);
  let best = priced(question, { ...own, index: undefined });
  if (isPointAccess(own.access, parts.length) && Number.isFinite(best.cost)) return best;
  for (const index of indexesOf(table)) {
    const said = impliedBy(index.predicate, predicate.all);
    if (said === undefined) continue;
    if (usable !== undefined && !usable(table, index.store.index.number)) continue;
    const path = { ...predicate.access(index.parts, said), index };
    // An index that says nothing about the rows is of use for its order, or because it is narrower.
    const found = priced(question, path);
    if (found.cost < best.cost) best = found;
  }
  return best;
}

function priced(
  question: PathQuestion,
  path: {
    readonly access: AccessPath;
    readonly filter: Expression | undefined;
    readonly index: ReadableIndex | undefined;
  },
): ChosenPath {
  const { table, order: wanted, sources } = question;
  const known = knownTable(table, sources);
  const { access, filter, index } = path;
  const read = accessRows(known, access, index) * partialShare(index);
  const kept = Math.max(
    1e-6,
    conjuncts(filter).reduce((part, one) => part * selectivityOf(one, known), 1),
  );
  const rows = Math.max(1, read * kept);
  const order =
    wanted === undefined ? undefined : keyOrder(wanted, keyOf(table, index), access, wanted.offset);
  const enough =
    wanted?.limit !== undefined && order !== undefined ? Math.min(read, wanted.limit / kept) : read;
  const points = Math.min(pointsOf(access), read);
  // A table that was small when it was analyzed may have grown: an index is never far off.
  const scanned = isRestricted(access) ? enough : Math.max(enough, leastScan);
  let cost = tripCost + scanned + (points - 1) * spanCost;
  if (index !== undefined) {
    const fetched = enough * entryShare(index, filter, known);
    cost += covers(question, index, filter) ? 0 : tripCost + fetched * fetchCost;
    // Between equals the table itself is simpler.
    if (!isRestricted(access)) cost += 1;
  }
  if (wanted !== undefined && order === undefined)
    cost += wanted.must === true ? Number.POSITIVE_INFINITY : sortCost(rows, wanted.limit);
  return { ...path, order, rows, cost };
}

/** @param limit rows that are enough */
export function sortCost(rows: number, limit: number | undefined): number {
  const kept = Math.max(2, Math.min(rows, limit ?? rows));
  return rows * Math.log2(kept) * compareCost;
}

/** The part of the entries whose rows are fetched: the others are left out by what they hold. */
function entryShare(
  { holds }: ReadableIndex,
  filter: Expression | undefined,
  known: KnownTable,
): number {
  return conjuncts(filter).reduce((part, one) => {
    const read: boolean[] = [];
    markColumns(one, read);
    const isHeld = read.every((needed, column) => !needed || holds[column] === true);
    return isHeld ? part * selectivityOf(one, known) : part;
  }, 1);
}

function partialShare(index: ReadableIndex | undefined): number {
  return index === undefined || index.predicate.length === 0 ? 1 : 0.5;
}

/** The key of the path, and whether no two rows are equal in it. */
export function keyOf(
  table: TableDescriptor,
  index: ReadableIndex | undefined,
): Parameters<typeof keyOrder>[1] {
  if (index === undefined) return { parts: primaryPartsOf(table), whole: true };
  const whole = index.store.index.unique
    ? index.parts.every((part) => !part.nullable)
    : table.primaryKey !== undefined;
  return { parts: index.parts, whole };
}

function covers(
  { needed }: PathQuestion,
  index: ReadableIndex,
  filter: Expression | undefined,
): boolean {
  if (needed === undefined) return false;
  const all = [...needed];
  if (filter !== undefined) markColumns(filter, all);
  return all.every((one, i) => !one || index.holds[i] === true);
}
