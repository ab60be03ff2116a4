/** The door of the binder: which statement it is, and which tables it names. */
import type { Node, RangeVar, SelectStmt } from 'libpg-query';
import { describeKind, kindOf } from './ast.ts';
import { bindDelete, bindInsert, bindUpdate } from './bind-dml.ts';
import { bindSelect } from './bind-select.ts';
import { bindCreateTable, bindDrop, bindTruncate } from './bind-table.ts';
import { bindSet, bindTransaction, bindVacuum } from './bind-utility.ts';
import type { BoundExplain, BoundStatement } from './bound.ts';
import type { BindContext } from './context.ts';

/** Throws SqlError. Pure but for what it tells the context. */
export function bindStatement(context: BindContext, tree: Node): BoundStatement {
  if ('SelectStmt' in tree) return bindSelect(context, tree.SelectStmt);
  if ('InsertStmt' in tree) return bindInsert(context, tree.InsertStmt);
  if ('UpdateStmt' in tree) return bindUpdate(context, tree.UpdateStmt);
  if ('DeleteStmt' in tree) return bindDelete(context, tree.DeleteStmt);
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
    MergeStmt: 'MERGE',
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

/** Names in `public` that the statement may refer to, for one look into the catalog before binding. */
export function referencedTables(tree: Node): readonly string[] {
  if ('ExplainStmt' in tree)
    return tree.ExplainStmt.query === undefined ? [] : referencedTables(tree.ExplainStmt.query);
  if ('SelectStmt' in tree) return selectTables(tree.SelectStmt);
  if ('InsertStmt' in tree) {
    const { relation, selectStmt } = tree.InsertStmt;
    const inner = selectStmt === undefined ? [] : referencedTables(selectStmt);
    return [...publicName(relation), ...inner];
  }
  if ('UpdateStmt' in tree) return publicName(tree.UpdateStmt.relation);
  if ('DeleteStmt' in tree) return publicName(tree.DeleteStmt.relation);
  if ('TruncateStmt' in tree) return (tree.TruncateStmt.relations ?? []).flatMap(nodeName);
  if ('VacuumStmt' in tree)
    return (tree.VacuumStmt.rels ?? []).flatMap((node) =>
      'VacuumRelation' in node ? publicName(node.VacuumRelation.relation) : [],
    );
  return [];
}

function selectTables(select: SelectStmt): readonly string[] {
  return (select.fromClause ?? []).flatMap(nodeName);
}

function nodeName(node: Node): readonly string[] {
  return 'RangeVar' in node ? publicName(node.RangeVar) : [];
}

function publicName(relation: RangeVar | undefined): readonly string[] {
  if (relation?.relname === undefined) return [];
  return relation.schemaname === undefined || relation.schemaname === 'public'
    ? [relation.relname]
    : [];
}
