/** What statements that create something share: names that are taken, storage parameters, the empty table. */
import type { IntoClause, Node } from 'libpg-query';
import type { BindContext } from '../bind/context.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { isTemporarySchema } from '../catalog/temporary-schema.ts';
import { SqlError } from '../sql-error.ts';
import { storageSpan } from '../storage/table-store.ts';
import type { DdlContext } from './ddl-context.ts';
import { isRangeParameter, unknownParameter } from './range-parameters.ts';

/** Throws 42P07, or notes it and says true. */
export function refuseTaken(
  ddl: DdlContext,
  schema: string,
  name: string,
  ifNotExists: boolean,
): boolean {
  if (ddl.snapshot.findType(schema, name) !== undefined)
    throw new SqlError('42710', `type "${name}" already exists`, {
      hint: "A relation has an associated type of the same name, so you must use a name that doesn't conflict with any existing type.",
    });
  if (!ddl.snapshot.isTaken(schema, name)) return false;
  if (!ifNotExists) throw new SqlError('42P07', `relation "${name}" already exists`);
  ddl.notice('42P07', `relation "${name}" already exists, skipping`);
  return true;
}

/** ON COMMIT as the descriptor has it. Throws 42P16. */
export function onCommitOf(
  schema: string,
  written: string | undefined,
): Pick<TableDescriptor, 'onCommit'> {
  if (written === undefined || written === 'ONCOMMIT_NOOP') return {};
  if (!isTemporarySchema(schema))
    throw new SqlError('42P16', 'ON COMMIT can only be used on temporary tables');
  if (written === 'ONCOMMIT_DROP') return { onCommit: 'drop' };
  return written === 'ONCOMMIT_DELETE_ROWS' ? { onCommit: 'delete' } : {};
}

/** A table without columns; the catalog has it only once it is put there. */
export async function emptyTable(
  ddl: DdlContext,
  schema: string,
  name: string,
): Promise<TableDescriptor> {
  const id = await ddl.takeId();
  const storageId = ddl.storageIdFor(id);
  ddl.claim(storageSpan(storageId));
  return {
    kind: 'table',
    id,
    schema,
    name,
    owner: ddl.user,
    ...ddl.initialAcl('table', schema),
    version: 0,
    comments: {},
    storageId,
    columns: [],
    dropped: [],
    primaryKey: undefined,
    indexes: [],
    checks: [],
    foreignKeys: [],
    ranges: undefined,
  };
}

/** What `checkStorage` asks of CREATE TABLE AS and its kin. */
export function storageOf({
  options = [],
  tableSpaceName: tablespacename,
  accessMethod,
}: IntoClause): Parameters<typeof checkStorage>[1] {
  return {
    options,
    ...(tablespacename === undefined ? {} : { tablespacename }),
    ...(accessMethod === undefined ? {} : { accessMethod }),
  };
}

/**
 * What tunes PostgreSQL's heap, of which there is none here, may be given: storage parameters, the default tablespace and the
 * default access method; what ranges obey is read by `range-parameters.ts`. Names that nobody knows are refused as PostgreSQL
 * refuses them.
 */
export function checkStorage(
  context: BindContext,
  statement: {
    readonly options?: readonly Node[];
    readonly tablespacename?: string;
    readonly accessMethod?: string;
  },
  of: 'table' | 'index' = 'table',
): void {
  const { tablespacename, accessMethod } = statement;
  if (tablespacename !== undefined && tablespacename !== '' && tablespacename !== 'pg_default')
    throw new SqlError('42704', `tablespace "${tablespacename}" does not exist`);
  if (accessMethod !== undefined && accessMethod !== 'heap')
    throw new SqlError('42704', `access method "${accessMethod}" does not exist`);
  for (const option of statement.options ?? []) {
    if (!('DefElem' in option)) throw context.unsupported('storage parameter');
    const { defname = '', defnamespace } = option.DefElem;
    if (defnamespace !== undefined && defnamespace !== 'toast')
      throw new SqlError('22023', `unrecognized parameter namespace "${defnamespace}"`);
    if (of === 'table' && isRangeParameter(defname)) continue;
    if (!storageParameters.test(defname))
      throw of === 'table'
        ? unknownParameter(defname)
        : new SqlError('22023', `unrecognized parameter "${defname}"`);
  }
}

const storageParameters =
  /^(fillfactor|toast_tuple_target|parallel_workers|user_catalog_table|log_autovacuum_min_duration|vacuum_(index_cleanup|truncate)|autovacuum_\w+|deduplicate_items)$/;
