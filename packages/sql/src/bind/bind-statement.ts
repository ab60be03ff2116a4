/** The door of the binder: which statement it is, and which tables it names. */
import type { Node, RangeVar } from 'libpg-query';
import { describeKind, kindOf } from './ast.ts';
import { bindWriteStatement } from './bind-dml.ts';
import { bindClosedQuery } from './bind-query.ts';
import { bindCreateTable, bindDrop, bindTruncate } from './bind-table.ts';
import { bindTransaction } from './bind-transaction.ts';
import { bindSet, bindVacuum } from './bind-utility.ts';
import type { BoundExplain, BoundStatement } from './bound.ts';
import type { BindContext } from './context.ts';
import { topLevel } from './level.ts';

/** Throws SqlError. Pure but for what it tells the context. */
export function bindStatement(context: BindContext, tree: Node): BoundStatement {
  if ('SelectStmt' in tree)
    return { kind: 'select', ...bindClosedQuery(context, tree.SelectStmt, topLevel()) };
  const write = bindWriteStatement(context, tree, topLevel());
  if (write !== undefined) return write;
  if ('CreateStmt' in tree) return bindCreateTable(context, tree.CreateStmt);
  if ('DropStmt' in tree) return bindDrop(context, tree.DropStmt);
  if ('TruncateStmt' in tree) return bindTruncate(context, tree.TruncateStmt);
  if ('VariableSetStmt' in tree) return bindSet(context, tree.VariableSetStmt);
  if ('VariableShowStmt' in tree) {
    const { name = '' } = tree.VariableShowStmt;
    if (name === 'all') throw context.unsupported('SHOW ALL');
    return { kind: 'show', name };
  }
  if ('TransactionStmt' in tree) return bindTransaction(context, tree.TransactionStmt);
  if ('VacuumStmt' in tree) {
    const { rels, is_vacuumcmd } = tree.VacuumStmt;
    return bindVacuum(context, rels, is_vacuumcmd === true);
  }
  if ('DiscardStmt' in tree) {
    const { target } = tree.DiscardStmt;
    if (target === 'DISCARD_ALL') return { kind: 'discard' };
    throw context.unsupported((target ?? '').replace('_', ' '));
  }
  if ('ExplainStmt' in tree) {
    const { query, options } = tree.ExplainStmt;
    return bindExplain(context, query, options);
  }
  throw context.unsupported(statementName(tree));
}

function bindExplain(
  context: BindContext,
  query: Node | undefined,
  options: readonly Node[] | undefined,
): BoundExplain {
  for (const option of options ?? []) {
    if (!('DefElem' in option)) throw context.unsupported('EXPLAIN option');
    const { defname = '', location } = option.DefElem;
    // Costs are never shown, verbosity adds nothing: both may be asked for.
    if (defname !== 'costs' && defname !== 'verbose')
      throw context.unsupported(`EXPLAIN (${defname.toUpperCase()})`, location);
  }
  if (query === undefined) throw context.unsupported('EXPLAIN of nothing');
  const statement = bindStatement(context, query);
  switch (statement.kind) {
    case 'select':
    case 'insert':
    case 'update':
    case 'delete':
    case 'merge':
      return { kind: 'explain', statement };
    default:
      throw context.unsupported(`EXPLAIN ${describeKind(kindOf(query))}`);
  }
}

/** `CreateRoleStmt` → `CREATE ROLE`, `IndexStmt` → `CREATE INDEX`. */
function statementName(tree: Node): string {
  const kind = kindOf(tree);
  const special: Readonly<Record<string, string>> = {
    IndexStmt: 'CREATE INDEX',
    ViewStmt: 'CREATE VIEW',
    CreateTableAsStmt: 'CREATE TABLE AS',
    RuleStmt: 'CREATE RULE',
    DefineStmt: 'CREATE',
    RenameStmt: 'ALTER … RENAME',
    CommentStmt: 'COMMENT',
    CopyStmt: 'COPY',
    DeclareCursorStmt: 'DECLARE CURSOR',
    FetchStmt: 'FETCH',
    ClosePortalStmt: 'CLOSE',
    PrepareStmt: 'PREPARE',
    ExecuteStmt: 'EXECUTE',
    DeallocateStmt: 'DEALLOCATE',
    NotifyStmt: 'NOTIFY',
    ListenStmt: 'LISTEN',
    UnlistenStmt: 'UNLISTEN',
    LockStmt: 'LOCK TABLE',
    DoStmt: 'DO',
    CallStmt: 'CALL',
    GrantStmt: 'GRANT and REVOKE',
    GrantRoleStmt: 'GRANT and REVOKE',
    CheckPointStmt: 'CHECKPOINT',
    CreatedbStmt: 'CREATE DATABASE',
    DropdbStmt: 'DROP DATABASE',
    CreateSeqStmt: 'CREATE SEQUENCE',
  };
  return special[kind] ?? describeKind(kind);
}

/**
 * Names in `public` that the statement may refer to, for one look into the catalog before binding. A name that turns out
 * to be that of a named query is among them too.
 */
export function referencedTables(tree: Node): readonly string[] {
  const found = new Set<string>();
  collectTables(tree, found);
  return [...found];
}

/** Without recursion: a text may be nested deeper than the stack. */
function collectTables(tree: unknown, found: Set<string>): void {
  const open: unknown[] = [tree];
  while (open.length > 0) {
    const node = open.pop();
    if (typeof node !== 'object' || node === null) continue;
    if ('relname' in node) {
      const { relname, schemaname } = node as RangeVar;
      if (relname !== undefined && (schemaname === undefined || schemaname === 'public'))
        found.add(relname);
      continue;
    }
    for (const key in node) {
      const child: unknown = node[key as keyof typeof node];
      if (typeof child === 'object') open.push(child);
    }
  }
}
