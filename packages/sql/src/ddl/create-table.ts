/** CREATE TABLE. */
import type { CreateStmt, Node } from 'libpg-query';
import { describeKind, kindOf, refuseOthers } from '../bind/ast.ts';
import { SqlError } from '../sql-error.ts';
import { type CopiedTable, copyColumns, copyIndexes } from './create-table-like.ts';
import { checkStorage, emptyTable, onCommitOf, refuseTaken } from './creation.ts';
import type { DdlContext } from './ddl-context.ts';
import { lockReferenced } from './locks.ts';
import { setRangeParameters } from './range-parameters.ts';
import { TableDraft } from './table-draft.ts';

export async function createTable(ddl: DdlContext, statement: CreateStmt): Promise<string> {
  const context = ddl.binder();
  refuseOthers(
    context,
    statement,
    [
      'relation',
      'tableElts',
      'oncommit',
      'if_not_exists',
      'options',
      'tablespacename',
      'accessMethod',
    ],
    {
      inhRelations: 'INHERITS and PARTITION OF',
      partspec: 'PARTITION BY',
      partbound: 'PARTITION OF',
      ofTypename: 'CREATE TABLE OF',
    },
  );
  checkStorage(context, statement);
  const { relation } = statement;
  if (relation === undefined) throw context.unsupported('CREATE TABLE without a name');
  const name = relation.relname ?? '';
  const schema = await ddl.targetSchema(relation, name);
  const onCommit = onCommitOf(schema, statement.oncommit);
  const ifNotExists = statement.if_not_exists === true;
  if (ifNotExists && refuseTaken(ddl, schema, name, true)) return 'CREATE TABLE';
  const draft = new TableDraft(ddl, await emptyTable(ddl, schema, name));
  draft.change({ ranges: setRangeParameters(undefined, statement.options ?? []), ...onCommit });
  const constraints: Node[] = [];
  const likes: CopiedTable[] = [];
  for (const node of statement.tableElts ?? []) {
    if ('ColumnDef' in node) {
      const { colname = '' } = node.ColumnDef;
      if (draft.table.columns.some((column) => column.name === colname))
        throw new SqlError('42701', `column "${colname}" specified more than once`);
      await draft.addColumn(node.ColumnDef);
    } else if ('Constraint' in node) constraints.push(node);
    else if ('TableLikeClause' in node) likes.push(await copyColumns(draft, node.TableLikeClause));
    else throw context.unsupported(describeKind(kindOf(node)));
  }
  await draft.finishColumns();
  for (const node of constraints)
    if ('Constraint' in node) await draft.addConstraint(node.Constraint, undefined);
  for (const like of likes) await copyIndexes(draft, like);
  refuseTaken(ddl, schema, name, false);
  await draft.finish();
  await lockReferenced(ddl, draft.table);
  ddl.editor.put(draft.table);
  return 'CREATE TABLE';
}
