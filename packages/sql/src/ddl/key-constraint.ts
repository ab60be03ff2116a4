/** PRIMARY KEY and UNIQUE of a table in the making. Called by `table-draft.ts`. */
import type { Constraint } from 'libpg-query';
import { nameParts, refuseOthers } from '../bind/ast.ts';
import {
  type ColumnDescriptor,
  type IndexDescriptor,
  primaryColumns,
  type TableDescriptor,
} from '../catalog/descriptor.ts';
import { keyColumnsMax } from '../limits.ts';
import { SqlError } from '../sql-error.ts';
import { deferrableField, deferrableOf } from './constraint-attributes.ts';
import type { DdlContext } from './ddl-context.ts';
import { indexNameColumns } from './object-names.ts';
import type { Work } from './table-work.ts';

/** The table in the making. */
interface Keyed {
  readonly context: DdlContext;
  readonly table: TableDescriptor;
  readonly isNew: boolean;
  readonly work: Work[];
  change(fields: Partial<TableDescriptor>): void;
  changeColumn(attributeNumber: number, fields: Partial<ColumnDescriptor>): void;
  column(name: string): ColumnDescriptor;
  addIndex(index: IndexDescriptor): void;
  indexName(given: string | undefined, columns: string, label: string): string;
}

export async function addPrimaryKey(
  draft: Keyed,
  constraint: Constraint,
  names: readonly string[],
): Promise<void> {
  const context = draft.context.binder();
  checkKeyClause(draft, constraint);
  if (primaryColumns(draft.table) !== undefined)
    throw context.error(
      '42P16',
      `multiple primary keys for table "${draft.table.name}" are not allowed`,
      draft.isNew ? constraint.location : undefined,
    );
  if (constraint.indexname !== undefined)
    throw context.unsupported('PRIMARY KEY USING INDEX', constraint.location);
  const offsets = keyOffsets(draft, constraint, names, 'primary key');
  for (const offset of offsets) {
    const column = draft.table.columns[offset];
    if (column === undefined) continue;
    draft.changeColumn(column.attributeNumber, { notNull: true });
    draft.work.push({ kind: 'not null', attributeNumber: column.attributeNumber });
  }
  const name = draft.indexName(constraint.conname, '', 'pkey');
  const deferrable = deferrableOf(constraint);
  if (deferrable !== undefined) {
    draft.addIndex({ ...(await uniqueIndex(draft, name, offsets)), deferrable, primary: true });
    return;
  }
  const indexOid = await draft.context.takeId();
  const constraintOid = await draft.context.takeId();
  draft.change({ primaryKey: { constraint: name, columns: offsets, indexOid, constraintOid } });
  draft.work.push({ kind: 'rewrite' });
}

export async function addUnique(
  draft: Keyed,
  constraint: Constraint,
  names: readonly string[],
): Promise<void> {
  const context = draft.context.binder();
  checkKeyClause(draft, constraint);
  if (constraint.nulls_not_distinct === true)
    throw context.unsupported('NULLS NOT DISTINCT', constraint.location);
  if (constraint.indexname !== undefined) {
    await adoptIndex(draft, constraint, constraint.indexname);
    return;
  }
  const offsets = keyOffsets(draft, constraint, names, 'unique');
  const name = draft.indexName(constraint.conname, indexNameColumns(names), 'key');
  draft.addIndex({
    ...(await uniqueIndex(draft, name, offsets)),
    included: nameParts(constraint.including).map((one) => draft.column(one).attributeNumber),
    ...deferrableField(constraint),
  });
}

/** UNIQUE USING INDEX. */
async function adoptIndex(draft: Keyed, constraint: Constraint, indexName: string): Promise<void> {
  const index = draft.table.indexes.find((one) => one.name === indexName);
  if (index === undefined) throw new SqlError('42704', `index "${indexName}" does not exist`);
  if (
    !index.unique ||
    index.predicate !== undefined ||
    index.columns.some((one) => one.expression !== undefined)
  )
    throw new SqlError('42809', `"${indexName}" is not a unique index`);
  const name = constraint.conname ?? indexName;
  const constraintOid = await draft.context.takeId();
  if (name !== indexName)
    draft.context.notice(
      '00000',
      `ALTER TABLE / ADD CONSTRAINT USING INDEX will rename index "${indexName}" to "${name}"`,
    );
  draft.change({
    indexes: draft.table.indexes.map((one) =>
      one === index ? { ...one, name, constraintOid, ...deferrableField(constraint) } : one,
    ),
  });
}

/** That of a constraint. */
async function uniqueIndex(
  draft: Keyed,
  name: string,
  offsets: readonly number[],
): Promise<IndexDescriptor> {
  const oid = await draft.context.takeId();
  const constraintOid = await draft.context.takeId();
  const columns = offsets.map((offset) => ({
    attributeNumber: draft.table.columns[offset]?.attributeNumber ?? 0,
    descending: false,
    nullsFirst: false,
  }));
  return { oid, name, number: oid, unique: true, constraintOid, columns, included: [] };
}

function checkKeyClause(draft: Keyed, constraint: Constraint): void {
  refuseOthers(
    draft.context.binder(),
    constraint,
    [
      'contype',
      'conname',
      'keys',
      'location',
      'initially_valid',
      'is_enforced',
      'options',
      'indexname',
      'nulls_not_distinct',
      'deferrable',
      'initdeferred',
      ...(constraint.contype === 'CONSTR_UNIQUE' ? ['including'] : []),
    ],
    {
      including: 'INCLUDE',
      indexspace: 'USING INDEX TABLESPACE',
      without_overlaps: 'WITHOUT OVERLAPS',
    },
    constraint.location,
  );
}

function keyOffsets(
  draft: Keyed,
  constraint: Constraint,
  names: readonly string[],
  what: string,
): number[] {
  const context = draft.context.binder();
  if (names.length > keyColumnsMax)
    throw new SqlError('54011', `cannot use more than ${keyColumnsMax} columns in an index`);
  const offsets: number[] = [];
  for (const name of names) {
    const offset = draft.table.columns.findIndex((column) => column.name === name);
    if (offset < 0)
      throw context.error(
        '42703',
        `column "${name}" named in key does not exist`,
        constraint.location,
      );
    if (offsets.includes(offset))
      throw context.error(
        '42701',
        `column "${name}" appears twice in ${what} constraint`,
        constraint.location,
      );
    offsets.push(offset);
  }
  return offsets;
}
