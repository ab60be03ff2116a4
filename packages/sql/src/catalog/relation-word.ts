/** What messages call a relation, and the query that it is of, if it is of one. A materialized view is a table with a query. */
import type { RelationDescriptor, StoredQuery } from './descriptor.ts';

export type RelationWord = 'table' | 'view' | 'materialized view' | 'sequence';

/** As errors, notices and hints name its kind. */
export function wordOf(relation: RelationDescriptor): RelationWord {
  return isMaterialized(relation) ? 'materialized view' : relation.kind;
}

export function isMaterialized(relation: RelationDescriptor): boolean {
  return relation.kind === 'table' && relation.materialized !== undefined;
}

/** Of a view, materialized or not. Undefined: it has none. */
export function storedQueryOf(relation: RelationDescriptor): StoredQuery | undefined {
  if (relation.kind === 'view') return relation;
  return relation.kind === 'table' ? relation.materialized : undefined;
}
