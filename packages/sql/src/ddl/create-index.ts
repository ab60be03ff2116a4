/** CREATE INDEX. CONCURRENTLY is taken as without it: building blocks nobody for longer than it has to. */
import type { IndexElem, IndexStmt, Node } from 'libpg-query';
import { nameParts } from '../bind/ast.ts';
import { ExpressionBinder } from '../bind/bind-expression.ts';
import type { Expression } from '../bind/expression.ts';
import { some } from '../bind/expression-tree.ts';
import { isMutable, printStored, tableScope } from '../bind/stored-expression.ts';
import { columnName } from '../bind/target-list.ts';
import type { IndexColumn, IndexDescriptor } from '../catalog/descriptor.ts';
import { keyColumnsMax } from '../limits.ts';
import { SqlError } from '../sql-error.ts';
import { applyWork } from './apply-work.ts';
import { checkStorage } from './creation.ts';
import type { DdlContext } from './ddl-context.ts';
import { indexNameColumns } from './object-names.ts';
import { TableDraft } from './table-draft.ts';

export async function createIndex(ddl: DdlContext, statement: IndexStmt): Promise<string> {
  const context = ddl.binder();
  const {
    relation,
    idxname,
    accessMethod = 'btree',
    indexParams = [],
    if_not_exists: ifNotExists,
  } = statement;
  if (relation === undefined) throw context.unsupported('CREATE INDEX without a table');
  if (accessMethod !== 'btree') throw context.unsupported(`index method ${accessMethod}`);
  if (statement.nulls_not_distinct === true) throw context.unsupported('NULLS NOT DISTINCT');
  const { options = [], tableSpace: tablespacename } = statement;
  checkStorage(
    context,
    { options, ...(tablespacename !== undefined && { tablespacename }) },
    'index',
  );
  const table = ddl.rowsOf(relation);
  ddl.requireOwner(table);
  ddl.requireSettled(table, 'CREATE INDEX');
  if (idxname !== undefined && ddl.snapshot.isTaken(table.schema, idxname)) {
    if (ifNotExists !== true) throw new SqlError('42P07', `relation "${idxname}" already exists`);
    ddl.notice('42P07', `relation "${idxname}" already exists, skipping`);
    return 'CREATE INDEX';
  }
  const included = statement.indexIncludingParams ?? [];
  if (indexParams.length + included.length > keyColumnsMax)
    throw new SqlError('54011', `cannot use more than ${keyColumnsMax} columns in an index`);
  const draft = new TableDraft(ddl, table);
  const binder = new ExpressionBinder(context, tableScope(table), 'INDEX');
  const elements = indexParams.flatMap((node) => ('IndexElem' in node ? [node.IndexElem] : []));
  const columns = elements.map((element) => indexColumn(draft, binder, element));
  const names = elements.map((element) => element.name ?? expressionName(element.expr));
  const predicate =
    statement.whereClause === undefined
      ? undefined
      : predicateOf(
          draft,
          new ExpressionBinder(context, tableScope(table), 'INDEX WHERE'),
          statement.whereClause,
        );
  const oid = await ddl.takeId();
  const index: IndexDescriptor = {
    oid,
    name: draft.indexName(idxname, indexNameColumns(names), 'idx'),
    number: oid,
    unique: statement.unique === true,
    constraintOid: 0,
    columns,
    included: included.map((node) => {
      const element = 'IndexElem' in node ? node.IndexElem : {};
      if (element.name === undefined)
        throw new SqlError('0A000', 'expressions are not supported in included columns');
      return indexAttribute(draft, element.name);
    }),
    ...(predicate === undefined ? {} : { predicate }),
  };
  draft.addIndex(index);
  ddl.editor.put(await applyWork(draft, table));
  return 'CREATE INDEX';
}

/** Throws 42703. */
function indexAttribute(draft: TableDraft, name: string): number {
  const column = draft.table.columns.find((one) => one.name === name);
  if (column === undefined) throw new SqlError('42703', `column "${name}" does not exist`);
  return column.attributeNumber;
}

function indexColumn(draft: TableDraft, binder: ExpressionBinder, element: IndexElem): IndexColumn {
  const { context } = binder;
  const { name, expr, ordering, nulls_ordering: nulls, opclass, collation } = element;
  const collated = nameParts(collation).pop();
  if (collated !== undefined && !['default', 'C', 'POSIX'].includes(collated))
    throw context.unsupported(`collation "${collated}"`);
  // Text sorts by its bytes: what the pattern operator classes are for is so without them.
  const operatorClass = nameParts(opclass).pop();
  if (operatorClass !== undefined && !/^(\w+_ops|\w+_pattern_ops)$/.test(operatorClass))
    throw new SqlError(
      '42704',
      `operator class "${operatorClass}" does not exist for access method "btree"`,
    );
  const descending = ordering === 'SORTBY_DESC';
  const nullsFirst =
    nulls === undefined || nulls === 'SORTBY_NULLS_DEFAULT'
      ? descending
      : nulls === 'SORTBY_NULLS_FIRST';
  if (name !== undefined)
    return { attributeNumber: indexAttribute(draft, name), descending, nullsFirst };
  const bound = binder.bind(expr);
  refuseUnstable(bound, 'index expression');
  if (bound.kind === 'column')
    return { attributeNumber: bound.attributeNumber, descending, nullsFirst };
  return {
    attributeNumber: 0,
    expression: printStored(bound, draft.table),
    descending,
    nullsFirst,
  };
}

function predicateOf(draft: TableDraft, binder: ExpressionBinder, node: Node): string {
  const bound = binder.bindBoolean(node, 'WHERE');
  refuseUnstable(bound, 'index predicate');
  return printStored(bound, draft.table);
}

/** Throws 42P17, 0A000. */
function refuseUnstable(bound: Expression, what: string): void {
  if (some(bound, (one) => one.kind === 'subquery'))
    throw new SqlError('0A000', `cannot use subquery in ${what}`);
  const stable = (one: Expression) =>
    isMutable(one) ||
    (one.kind === 'cast' && one.cast.stable === true && one.type.category === 'D');
  if (some(bound, stable))
    throw new SqlError('42P17', `functions in ${what} must be marked IMMUTABLE`);
}

/** As FigureIndexColname has it. */
function expressionName(node: Node | undefined): string {
  const name = node === undefined ? '?column?' : columnName(node);
  return name === '?column?' ? 'expr' : name;
}
