/** Keys by which rows of a table are looked up for rows that are there already, and what that costs. */
import type { Expression } from '../bind/expression.ts';
import { fullScan, isOn, sharesKeys } from './access-path.ts';
import { knownTable, type PlanSources } from './choose-path.ts';
import { accessRows } from './estimate.ts';
import { isWithin, type Leaf, shifted, touches } from './from-tree.ts';
import { impliedBy, indexesOf, type ReadableIndex } from './index-path.ts';
import { isUniqueAccess, primaryPartsOf } from './plan-table.ts';

/** A key by which rows of a table are looked up. */
export interface LookupKey {
  /** Undefined: the primary key. */
  readonly index: ReadableIndex | undefined;
  /** Of its first columns, over the row that is there already. */
  readonly values: readonly Expression[];
  readonly used: ReadonlySet<Expression>;
  /** They name one row at most. */
  readonly single: boolean;
  /** Rows that they name, about. */
  readonly matches: number;
}

interface GivenValue {
  readonly condition: Expression;
  /** Over the table's own row. */
  readonly operand: Expression;
  readonly value: Expression;
}

export function lookupCost({ index, single, matches }: LookupKey, rows: number): number {
  if (single && index === undefined) return rows * 5;
  return rows * (10 + matches * (index === undefined ? 1 : 4));
}

/** The cheapest key of a table whose first columns are given by what is there before the table is read. */
export function lookupKey(
  leaf: Leaf,
  conditions: readonly Expression[],
  connecting: readonly Expression[],
  where: readonly Expression[],
  sources: PlanSources,
): LookupKey | undefined {
  const { tree } = leaf;
  if (tree.kind !== 'item' || tree.source.kind !== 'table' || tree.source.withRowId)
    return undefined;
  const { table } = tree.source;
  const { usable } = sources;
  const given = conditions.flatMap((one) => givenValue(one, leaf) ?? []);
  let best: LookupKey | undefined;
  for (const index of [undefined, ...indexesOf(table)]) {
    if (index !== undefined) {
      if (impliedBy(index.predicate, where) === undefined) continue;
      if (usable?.(table, index.store.index.number) === false) continue;
    }
    const parts = index?.parts ?? primaryPartsOf(table);
    const used = new Set<Expression>();
    const values: Expression[] = [];
    for (const part of parts) {
      const found = given.find(
        (one) => isOn(one.operand, part) && sharesKeys(one.value.type, part.type),
      );
      if (found === undefined) break;
      values.push(found.value);
      used.add(found.condition);
    }
    if (!connecting.some((one) => used.has(one))) continue;
    const equals = values.map((value) => ({ kind: 'values' as const, values: [value] }));
    const access = { ...fullScan, equals };
    const single =
      index === undefined ? values.length === parts.length : isUniqueAccess(access, index);
    const matches = single ? 1 : accessRows(knownTable(table, sources), access, index);
    if (best === undefined || matches < best.matches)
      best = { index, values, used, single, matches };
  }
  return best;
}

/** What an expression over the leaf alone must equal, where the predicate says so with a value from elsewhere. */
function givenValue(condition: Expression, leaf: Leaf): GivenValue | undefined {
  if (condition.kind !== 'comparison' || condition.operator !== '=') return undefined;
  const { left, right } = condition;
  const own = (one: Expression) =>
    touches(one, leaf) && isWithin(one, { from: leaf.from, end: leaf.end });
  if (own(left) && !touches(right, leaf))
    return { condition, operand: shifted(left, -leaf.from), value: right };
  if (own(right) && !touches(left, leaf))
    return { condition, operand: shifted(right, -leaf.from), value: left };
  return undefined;
}
