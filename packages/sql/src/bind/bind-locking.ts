/** FOR UPDATE and its kin: which tables of FROM are locked, how, and what is done about rows that others have locked. */
import type { LockingClause, Node, SelectStmt } from 'libpg-query';
import { isMaterialized } from '../catalog/relation-word.ts';
import type { LockMode, LockWait } from '../kv-transaction.ts';
import { SqlError } from '../sql-error.ts';
import type { BindContext } from './context.ts';
import type { FromTree, LockStrength, Source } from './relation.ts';

export interface LockedTable {
  readonly source: Extract<Source, { kind: 'table' }>;
  /** Of the table's first column in the row of all items. */
  readonly offset: number;
  readonly mode: LockMode;
  readonly wait: LockWait;
  readonly strength: LockStrength;
}

interface Item {
  readonly source: Source;
  readonly offset: number;
  readonly alias: string;
  /** On the side of an outer join where there may be no row. */
  readonly nullable: boolean;
}

const strengths: Readonly<Record<string, LockStrength>> = {
  LCS_FORKEYSHARE: 'FOR KEY SHARE',
  LCS_FORSHARE: 'FOR SHARE',
  LCS_FORNOKEYUPDATE: 'FOR NO KEY UPDATE',
  LCS_FORUPDATE: 'FOR UPDATE',
};
const byStrength: readonly LockStrength[] = Object.values(strengths);
const byWait: readonly LockWait[] = ['block', 'skip', 'nowait'];

const waits: Readonly<Record<string, LockWait>> = {
  LockWaitBlock: 'block',
  LockWaitSkip: 'skip',
  LockWaitError: 'nowait',
};

/** The clauses of a statement. Throws 0A000 for what must not stand beside them. */
export function lockingClauses(context: BindContext, statement: SelectStmt): LockingClause[] {
  const clauses = (statement.lockingClause ?? []).flatMap((node: Node) =>
    'LockingClause' in node ? [node.LockingClause] : [],
  );
  const [first] = clauses;
  if (first === undefined) return clauses;
  const refuse = (what: string) =>
    context.error('0A000', `${strengthOf(first)} ${what}`, undefined);
  if (statement.op !== undefined && statement.op !== 'SETOP_NONE')
    throw refuse('is not allowed with UNION/INTERSECT/EXCEPT');
  if (statement.distinctClause !== undefined) throw refuse('is not allowed with DISTINCT clause');
  if (statement.groupClause !== undefined) throw refuse('is not allowed with GROUP BY clause');
  if (statement.havingClause !== undefined) throw refuse('is not allowed with HAVING clause');
  if (statement.valuesLists !== undefined) throw refuse('cannot be applied to VALUES');
  return clauses;
}

export function strengthOf(clause: LockingClause): LockStrength {
  return strengths[clause.strength ?? ''] ?? 'FOR UPDATE';
}

/** Throws 42P01 for a name that FROM does not have, 0A000 and 42809 for what cannot be locked. */
export function lockedTables(
  context: BindContext,
  clauses: readonly LockingClause[],
  tree: FromTree | undefined,
): LockedTable[] {
  const items = tree === undefined ? [] : itemsOf(tree, false);
  const locked = new Map<Item, LockedTable>();
  for (const clause of clauses) {
    const strength = strengthOf(clause);
    const wait = waits[clause.waitPolicy ?? ''] ?? 'block';
    for (const item of chosen(context, clause, items)) {
      const { source, offset } = item;
      if (source.kind !== 'table') continue;
      if (isMaterialized(source.table))
        throw new SqlError('42809', `cannot lock rows in materialized view "${source.table.name}"`);
      if (item.nullable)
        throw context.error(
          '0A000',
          `${strength} cannot be applied to the nullable side of an outer join`,
          undefined,
        );
      context.access.writes(source.table.id, 'w', []);
      const before = locked.get(item);
      const strongest = stronger(byStrength, before?.strength, strength);
      locked.set(item, {
        source,
        offset,
        strength: strongest,
        mode: strongest.endsWith('SHARE') ? 'share' : 'exclusive',
        wait: stronger(byWait, before?.wait, wait),
      });
    }
  }
  return [...locked.values()];
}

function chosen(
  context: BindContext,
  clause: LockingClause,
  items: readonly Item[],
): readonly Item[] {
  const strength = strengthOf(clause);
  if (clause.lockedRels === undefined) {
    for (const { source } of items)
      if (source.kind !== 'table' && source.kind !== 'function' && source.kind !== 'cte')
        throw context.unsupported(`${strength} of a query in FROM`);
    return items;
  }
  return clause.lockedRels.map((node) => {
    if (!('RangeVar' in node)) throw context.unsupported(`${strength} OF`);
    const { relname = '', schemaname, location } = node.RangeVar;
    if (schemaname !== undefined)
      throw context.error('42601', `${strength} must specify unqualified relation names`, location);
    const item = items.find(({ alias }) => alias === relname);
    if (item === undefined)
      throw context.error(
        '42P01',
        `relation "${relname}" in ${strength} clause not found in FROM clause`,
        location,
      );
    const { kind } = item.source;
    if (kind === 'table') return item;
    if (kind === 'function')
      throw context.error('0A000', `${strength} cannot be applied to a function`, location);
    if (kind === 'cte')
      throw context.error('0A000', `${strength} cannot be applied to a WITH query`, location);
    throw context.unsupported(`${strength} of a query in FROM`, location);
  });
}

function itemsOf(tree: FromTree, nullable: boolean): Item[] {
  if (tree.kind === 'item') {
    const { source, offset, alias } = tree;
    return [{ source, offset, alias, nullable }];
  }
  const { type } = tree;
  return [
    ...itemsOf(tree.left, nullable || type === 'right' || type === 'full'),
    ...itemsOf(tree.right, nullable || type === 'left' || type === 'full'),
  ];
}

function stronger<T>(order: readonly T[], a: T | undefined, b: T): T {
  return a !== undefined && order.indexOf(a) > order.indexOf(b) ? a : b;
}
