/** CREATE TABLE AS and SELECT INTO: the rows go under a prefix that nobody knows before the table is there. */
import type { CreateTableAsStmt } from 'libpg-query';
import { nameParts } from '../bind/ast.ts';
import { bindClosedQuery } from '../bind/bind-query.ts';
import { topLevel } from '../bind/level.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { checkNeeds } from '../roles/access.ts';
import { checkStorage, emptyTable, onCommitOf, refuseTaken, storageOf } from './creation.ts';
import type { DdlContext } from './ddl-context.ts';
import { columnsOfQuery, fillTable } from './fill-table.ts';
import { setRangeParameters } from './range-parameters.ts';

export async function createTableAs(
  ddl: DdlContext,
  statement: CreateTableAsStmt,
): Promise<string> {
  const context = ddl.binder();
  const { query, into, if_not_exists: ifNotExists } = statement;
  if (into?.rel === undefined || query === undefined || !('SelectStmt' in query))
    throw context.unsupported('CREATE TABLE AS EXECUTE');
  const { rel } = into;
  checkStorage(context, storageOf(into));
  const name = rel.relname ?? '';
  const schema = await ddl.targetSchema(rel, name);
  const onCommit = onCommitOf(schema, into.onCommit);
  if (refuseTaken(ddl, schema, name, ifNotExists === true)) return 'CREATE TABLE AS';
  const bound = bindClosedQuery(context, query.SelectStmt, topLevel());
  const { access } = context;
  checkNeeds(access.needs, ddl.snapshot, ddl.authority, (role) => ddl.authorityOf(role));
  if (into.skipData !== true && access.refusal !== undefined) throw access.refusal.error();
  const columns = columnsOfQuery(context, bound.columns, nameParts(into.colNames));
  const ranges = setRangeParameters(undefined, into.options ?? []);
  const empty = await emptyTable(ddl, schema, name);
  const table: TableDescriptor = { ...empty, columns, ranges, ...onCommit };
  let count = 0;
  if (into.skipData !== true) {
    const { run } = ddl.options;
    count = await fillTable(ddl, table, bound.relation, { run });
  }
  ddl.editor.put(table);
  return into.skipData === true ? 'CREATE TABLE AS' : `SELECT ${count}`;
}
