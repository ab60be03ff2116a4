/** The door of the binder: which statement it is. */
import type { Node } from 'libpg-query';
import type { ExplainOptions } from '../plan/explain-node.ts';
import { SqlError } from '../sql-error.ts';
import { describeKind, kindOf } from './ast.ts';
import { bindWriteStatement } from './bind-dml.ts';
import { bindClosedQuery } from './bind-query.ts';
import { bindTransaction } from './bind-transaction.ts';
import { bindSet, bindSetConstraints, bindVacuum } from './bind-utility.ts';
import type { BoundExplain, BoundStatement } from './bound.ts';
import type { BindContext } from './context.ts';
import { topLevel } from './level.ts';
import { bindTypeName } from './type-name.ts';

/** Bound when they run: see ddl/run-ddl.ts. */
const ddlStatements: ReadonlySet<string> = new Set([
  'AlterDatabaseSetStmt',
  'AlterDatabaseStmt',
  'AlterDefaultPrivilegesStmt',
  'AlterDomainStmt',
  'AlterEnumStmt',
  'AlterObjectSchemaStmt',
  'AlterOwnerStmt',
  'AlterRoleSetStmt',
  'AlterRoleStmt',
  'AlterSeqStmt',
  'AlterTableStmt',
  'CommentStmt',
  'CreateDomainStmt',
  'CreateEnumStmt',
  'CreateExtensionStmt',
  'CreateRoleStmt',
  'CreateSchemaStmt',
  'CreateSeqStmt',
  'CreateStmt',
  'CreateTableAsStmt',
  'CreatedbStmt',
  'DropOwnedStmt',
  'DropRoleStmt',
  'DropStmt',
  'DropdbStmt',
  'GrantRoleStmt',
  'GrantStmt',
  'IndexStmt',
  'ReassignOwnedStmt',
  'RefreshMatViewStmt',
  'RenameStmt',
  'TruncateStmt',
  'ViewStmt',
]);

/** Throws SqlError. Pure but for what it tells the context. */
export function bindStatement(context: BindContext, tree: Node): BoundStatement {
  const into = selectInto(tree);
  if (into !== undefined) return { kind: 'ddl', tree: into };
  if ('SelectStmt' in tree)
    return { kind: 'select', ...bindClosedQuery(context, tree.SelectStmt, topLevel()) };
  const write = bindWriteStatement(context, tree, topLevel());
  if (write !== undefined) return write;
  if (ddlStatements.has(kindOf(tree))) return { kind: 'ddl', tree };
  if ('VariableSetStmt' in tree) return bindSet(context, tree.VariableSetStmt);
  if ('ConstraintsSetStmt' in tree) return bindSetConstraints(tree.ConstraintsSetStmt);
  if ('VariableShowStmt' in tree) {
    const { name = '' } = tree.VariableShowStmt;
    return { kind: 'show', name };
  }
  if ('TransactionStmt' in tree) return bindTransaction(context, tree.TransactionStmt);
  if ('VacuumStmt' in tree) return bindVacuum(context, tree.VacuumStmt);
  if ('ListenStmt' in tree) return { kind: 'listen', channel: tree.ListenStmt.conditionname ?? '' };
  if ('UnlistenStmt' in tree) return { kind: 'unlisten', channel: tree.UnlistenStmt.conditionname };
  if ('NotifyStmt' in tree) {
    const { conditionname: channel = '', payload = '' } = tree.NotifyStmt;
    return { kind: 'notify', channel, payload };
  }
  if ('DiscardStmt' in tree) {
    const { target } = tree.DiscardStmt;
    if (target === 'DISCARD_ALL') return { kind: 'discard', what: 'ALL' };
    if (target === 'DISCARD_PLANS') return { kind: 'discard', what: 'PLANS' };
    if (target === 'DISCARD_TEMP') return { kind: 'discard', what: 'TEMP' };
    throw context.unsupported((target ?? '').replace('_', ' '));
  }
  if ('PrepareStmt' in tree) {
    const { name = '', argtypes, query } = tree.PrepareStmt;
    if (query === undefined) throw context.unsupported('PREPARE of nothing');
    const types = (argtypes ?? []).map((node) => {
      if (!('TypeName' in node)) throw context.unsupported('PREPARE argument type');
      return bindTypeName(context, node.TypeName).type.oid;
    });
    return { kind: 'prepare', name, types, query };
  }
  if ('DeallocateStmt' in tree) {
    const { name } = tree.DeallocateStmt;
    return { kind: 'deallocate', name };
  }
  if ('ExplainStmt' in tree) {
    const { query, options } = tree.ExplainStmt;
    return bindExplain(context, query, options);
  }
  throw context.unsupported(statementName(tree));
}

/** SELECT INTO as the CREATE TABLE AS that it means. */
function selectInto(tree: Node): Node | undefined {
  if (!('SelectStmt' in tree) || tree.SelectStmt.intoClause === undefined) return undefined;
  const { intoClause: into, ...SelectStmt } = tree.SelectStmt;
  return { CreateTableAsStmt: { query: { SelectStmt }, into, objtype: 'OBJECT_TABLE' } };
}

function bindExplain(
  context: BindContext,
  query: Node | undefined,
  options: readonly Node[] | undefined,
): BoundExplain {
  const chosen = explainOptions(context, options ?? []);
  if (query === undefined) throw context.unsupported('EXPLAIN of nothing');
  const statement = bindStatement(context, chosen.analyze ? query : queryInside(context, query));
  switch (statement.kind) {
    case 'select':
    case 'insert':
    case 'update':
    case 'delete':
    case 'merge':
      return { kind: 'explain', options: chosen, statement };
    default:
      throw context.unsupported(`EXPLAIN ${statementName(query)}`);
  }
}

/** Of what makes a table or a materialized view the query, if there is none of the name. Throws 42P07. */
function queryInside(context: BindContext, tree: Node): Node {
  if (!('CreateTableAsStmt' in tree)) return tree;
  const { query, into, if_not_exists: ifNotExists } = tree.CreateTableAsStmt;
  const { schemaname, relname = '' } = into?.rel ?? {};
  const schema = context.names.schemaOf(schemaname) ?? context.names.schemas[0];
  if (schema !== undefined && context.names.snapshot.isTaken(schema, relname) && !ifNotExists)
    throw new SqlError('42P07', `relation "${relname}" already exists`);
  return query ?? tree;
}

/** Throws 22023, 0A000. */
function explainOptions(context: BindContext, options: readonly Node[]): ExplainOptions {
  const on: Record<string, boolean> = { analyze: false, costs: true };
  let format: ExplainOptions['format'] = 'text';
  for (const option of options) {
    if (!('DefElem' in option)) throw context.unsupported('EXPLAIN option');
    const { defname = '', arg, location } = option.DefElem;
    const value = optionText(arg).toLowerCase();
    if (defname === 'format') {
      if (value !== 'text' && value !== 'json')
        throw context.unsupported(`EXPLAIN (FORMAT ${value.toUpperCase()})`, location);
      format = value;
      continue;
    }
    const isOn = ['', 'true', 'on', '1'].includes(value);
    if (!isOn && !['false', 'off', '0'].includes(value))
      throw context.error('22023', `${defname} requires a Boolean value`, location);
    // Verbosity adds nothing, so it may be asked for. Times of single nodes are not taken.
    const known = ['analyze', 'costs', 'summary', 'verbose'].includes(defname);
    if (!known && (defname !== 'timing' || isOn))
      throw context.unsupported(`EXPLAIN (${defname.toUpperCase()})`, location);
    on[defname] = isOn;
  }
  const analyze = on.analyze === true;
  return { analyze, format, costs: on.costs === true, summary: on.summary ?? analyze };
}

function optionText(node: Node | undefined): string {
  if (node === undefined) return '';
  if ('String' in node) return node.String.sval ?? '';
  if ('Integer' in node) return String(node.Integer.ival ?? 0);
  return 'Boolean' in node ? String(node.Boolean.boolval ?? false) : '';
}

/** `CreateRoleStmt` → `CREATE ROLE`, `IndexStmt` → `CREATE INDEX`. */
function statementName(tree: Node): string {
  const kind = kindOf(tree);
  const special: Readonly<Record<string, string>> = {
    RuleStmt: 'CREATE RULE',
    DefineStmt: 'CREATE',
    CopyStmt: 'COPY',
    CreateTableAsStmt: 'CREATE TABLE AS',
    RefreshMatViewStmt: 'REFRESH MATERIALIZED VIEW',
    DeclareCursorStmt: 'DECLARE CURSOR',
    FetchStmt: 'FETCH',
    ClosePortalStmt: 'CLOSE',
    ExecuteStmt: 'EXECUTE',
    LockStmt: 'LOCK TABLE',
    DoStmt: 'DO',
    CallStmt: 'CALL',
    CheckPointStmt: 'CHECKPOINT',
  };
  return special[kind] ?? describeKind(kind);
}
