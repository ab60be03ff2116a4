/**
 * How many rows: of tables, of predicates, of keys. Without statistics tables are taken for middling and predicates for as
 * selective as such predicates usually are; estimates decide between plans, never about results.
 */
import type { Expression } from '../bind/expression.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { AccessPath } from './access-path.ts';
import type { ReadableIndex } from './index-path.ts';
import { isUniqueAccess, primaryPartsOf } from './plan-table.ts';

/** Of a table that was never analyzed. */
export const unknownTableRows: number = 10_000;
/** Elements of an array that is a parameter. */
const unknownArrayItems = 10;

/** The part of a table's rows for which a predicate holds. */
export function selectivityOf(condition: Expression): number {
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

/** The part of a table that a key's access leads to. */
function accessSelectivity(access: AccessPath): number {
  let part = 1;
  access.equals.forEach((one, i) => {
    const items =
      one.kind === 'values' ? one.values.length : one.kind === 'array' ? unknownArrayItems : 1;
    part *= Math.min(1, (i === 0 ? 0.005 : 0.1) * items);
  });
  const { lower, upper, pattern, notNull } = access;
  const bounds = Number(lower !== undefined) + Number(upper !== undefined);
  if (bounds > 0 || pattern !== undefined) return part * (bounds === 1 ? 0.1 : 0.05);
  return notNull ? part * 0.95 : part;
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
  table: TableDescriptor,
  access: AccessPath,
  index: ReadableIndex | undefined,
): number {
  const rows = unknownTableRows;
  const parts = primaryPartsOf(table);
  const single =
    index === undefined
      ? parts.length > 0 && access.equals.length >= parts.length
      : isUniqueAccess(access, index);
  if (single) return Math.min(rows, pointsOf(access));
  return Math.max(1, rows * accessSelectivity(access));
}
