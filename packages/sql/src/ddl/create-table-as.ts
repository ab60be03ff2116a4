/** CREATE TABLE AS and SELECT INTO: the rows go under a prefix that nobody knows before the table is there. */
import type { CreateTableAsStmt } from 'libpg-query';
import { nameParts } from '../bind/ast.ts';
import { bindClosedQuery } from '../bind/bind-query.ts';
import { topLevel } from '../bind/level.ts';
import type { ColumnDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import { planSelect } from '../plan/planner.ts';
import { checkNeeds } from '../roles/access.ts';
import { SqlError } from '../sql-error.ts';
import { TableStore } from '../storage/table-store.ts';
import { recordType, textType, unknownType } from '../types/type.ts';
import { checkStorage, emptyTable, onCommitOf, refuseTaken } from './creation.ts';
import type { DdlContext } from './ddl-context.ts';
import { setRangeParameters } from './range-parameters.ts';

export async function createTableAs(
  ddl: DdlContext,
  statement: CreateTableAsStmt,
): Promise<string> {
  const context = ddl.binder();
  const { query, into, objtype, if_not_exists: ifNotExists } = statement;
  if (objtype === 'OBJECT_MATVIEW') throw context.unsupported('CREATE MATERIALIZED VIEW');
  if (into?.rel === undefined || query === undefined || !('SelectStmt' in query))
    throw context.unsupported('CREATE TABLE AS EXECUTE');
  const { rel } = into;
  checkStorage(context, {
    options: into.options ?? [],
    ...(into.tableSpaceName === undefined ? {} : { tablespacename: into.tableSpaceName }),
    ...(into.accessMethod === undefined ? {} : { accessMethod: into.accessMethod }),
  });
  const name = rel.relname ?? '';
  const schema = await ddl.targetSchema(rel, name);
  const onCommit = onCommitOf(schema, into.onCommit);
  if (refuseTaken(ddl, schema, name, ifNotExists === true)) return 'CREATE TABLE AS';
  const bound = bindClosedQuery(context, query.SelectStmt, topLevel());
  checkNeeds(context.access.needs, ddl.snapshot, ddl.authority, (role) => ddl.authorityOf(role));
  const given = nameParts(into.colNames);
  if (given.length > bound.columns.length)
    throw new SqlError('42601', 'too many column names were specified');
  const columns = bound.columns.map((column, i): ColumnDescriptor => {
    const type = column.type === unknownType ? textType : column.type;
    const shown = given[i] ?? column.name;
    if (type === recordType)
      throw new SqlError('42P16', `column "${shown}" has pseudo-type record`);
    if (!type.storable) throw context.unsupported(`column of type ${type.display}`);
    return {
      name: shown,
      attributeNumber: i + 1,
      type,
      modifier: column.modifier,
      notNull: false,
      default: undefined,
    };
  });
  const twin = columns.find((one, i) => columns.findIndex((other) => other.name === one.name) < i);
  if (twin !== undefined)
    throw new SqlError('42701', `column "${twin.name}" specified more than once`);
  const ranges = setRangeParameters(undefined, into.options ?? []);
  const empty = await emptyTable(ddl, schema, name);
  const table: TableDescriptor = { ...empty, columns, ranges, ...onCommit };
  let count = 0;
  if (into.skipData !== true) count = await fill(ddl, table, bound);
  ddl.editor.put(table);
  return into.skipData === true ? 'CREATE TABLE AS' : `SELECT ${count}`;
}

async function fill(
  ddl: DdlContext,
  table: TableDescriptor,
  bound: ReturnType<typeof bindClosedQuery>,
): Promise<number> {
  const { run, transaction } = ddl.options;
  const store = new TableStore(table);
  let count = 0;
  let rowId = 0n;
  for await (const batch of planSelect(bound.relation).open(run)) {
    for (const row of batch) {
      transaction.insert(store.hiddenKey(++rowId), store.codec.encode(row));
      count++;
    }
    await ddl.relieve();
    if (run.pace.due()) await run.pace.rest();
  }
  return count;
}
