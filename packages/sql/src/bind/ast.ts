/** Small readings of the grammar's tree. The tree omits zero values: an absent field is 0, false, '' or []. */
import type { Node } from 'libpg-query';
import type { BindContext } from './context.ts';

/** The one kind of a wrapped node: `{ A_Const: … }` → `A_Const`. */
export function kindOf(node: Node): string {
  return Object.keys(node)[0] ?? 'nothing';
}

export function stringOf(node: Node | undefined): string | undefined {
  return node !== undefined && 'String' in node ? (node.String.sval ?? '') : undefined;
}

/** A dotted name. */
export function nameParts(nodes: readonly Node[] | undefined): string[] {
  return (nodes ?? []).map((node) => stringOf(node) ?? '*');
}

export function listItems(node: Node | undefined): readonly Node[] {
  if (node === undefined) return [];
  return 'List' in node ? (node.List.items ?? []) : [node];
}

/** Byte offset of a node, where it has one. */
export function locationOf(node: Node): number | undefined {
  const inner: unknown = Object.values(node)[0];
  if (typeof inner !== 'object' || inner === null || !('location' in inner)) return undefined;
  return typeof inner.location === 'number' ? inner.location : undefined;
}

const words: Readonly<Record<string, string>> = {
  A_ArrayExpr: 'ARRAY[…]',
  A_Indirection: 'subscript or field selection',
  CollateClause: 'COLLATE',
  CurrentOfExpr: 'WHERE CURRENT OF',
  GroupingFunc: 'GROUPING',
  JoinExpr: 'JOIN',
  MultiAssignRef: 'SET (…) = …',
  NamedArgExpr: 'named argument',
  RangeSubselect: 'subquery in FROM',
  RangeTableFunc: 'XMLTABLE',
  RangeTableSample: 'TABLESAMPLE',
  RowExpr: 'row constructor',
  SubLink: 'subquery',
  TableLikeClause: 'LIKE',
  XmlExpr: 'XML expression',
};

/** A node kind in a user's words. */
export function describeKind(kind: string): string {
  const known = words[kind];
  if (known !== undefined) return known;
  return kind
    .replace(/Stmt$/, '')
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toUpperCase();
}

/**
 * Refuses what a construct carries beyond what is built: nothing that was written is ever ignored.
 * @param built the fields that the caller reads, or whose value it need not read
 * @param names fields in a user's words
 */
export function refuseOthers(
  context: BindContext,
  node: object,
  built: readonly string[],
  names: Readonly<Record<string, string>>,
  location?: number,
): void {
  for (const [field, value] of Object.entries(node)) {
    if (built.includes(field) || value === undefined || value === false) continue;
    if (Array.isArray(value) && value.length === 0) continue;
    throw context.unsupported(names[field] ?? describeKind(field), location);
  }
}
