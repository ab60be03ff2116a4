/** CREATE TABLE, DROP TABLE, TRUNCATE. */
import type { ColumnDef, Constraint, CreateStmt, DropStmt, Node, TruncateStmt } from 'libpg-query';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { keyColumnsMax, nameBytesMax, tableColumnsMax } from '../limits.ts';
import { numericType } from '../types/type.ts';
import { describeKind, kindOf, listItems, nameParts, refuseOthers, stringOf } from './ast.ts';
import { checkTableName, findTable } from './bind-from.ts';
import type { BoundUtility, TableDefinition, TableName } from './bound.ts';
import type { BindContext } from './context.ts';
import { bindDefault } from './default.ts';
import { bindTypeName } from './type-name.ts';

type Column = {
  -readonly [Key in keyof TableDefinition['columns'][number]]: TableDefinition['columns'][number][Key];
};

interface KeyClause {
  readonly constraint: string | undefined;
  readonly names: readonly string[];
  readonly location: number | undefined;
}

const constraintWords: Readonly<Record<string, string>> = {
  CONSTR_UNIQUE: 'UNIQUE constraint',
  CONSTR_CHECK: 'CHECK constraint',
  CONSTR_FOREIGN: 'FOREIGN KEY constraint',
  CONSTR_EXCLUSION: 'EXCLUDE constraint',
  CONSTR_IDENTITY: 'GENERATED AS IDENTITY',
  CONSTR_GENERATED: 'GENERATED column',
  CONSTR_ATTR_DEFERRABLE: 'DEFERRABLE',
  CONSTR_ATTR_NOT_DEFERRABLE: 'NOT DEFERRABLE',
  CONSTR_ATTR_DEFERRED: 'INITIALLY DEFERRED',
  CONSTR_ATTR_IMMEDIATE: 'INITIALLY IMMEDIATE',
};

export function bindCreateTable(context: BindContext, statement: CreateStmt): BoundUtility {
  refuseOthers(
    context,
    statement,
    ['relation', 'tableElts', 'oncommit', 'if_not_exists', 'options'],
    {
      inhRelations: 'INHERITS and PARTITION OF',
      partspec: 'PARTITION BY',
      partbound: 'PARTITION OF',
      ofTypename: 'CREATE TABLE OF',
      tablespacename: 'TABLESPACE',
      accessMethod: 'USING access method',
    },
  );
  if (statement.oncommit !== undefined && statement.oncommit !== 'ONCOMMIT_NOOP')
    throw context.unsupported('ON COMMIT');
  const { relation } = statement;
  if (relation === undefined) throw context.unsupported('CREATE TABLE without a name');
  if (relation.relpersistence === 't')
    throw context.unsupported('TEMPORARY table', relation.location);
  if (relation.relpersistence === 'u')
    throw context.unsupported('UNLOGGED table', relation.location);
  checkStorageOptions(context, statement.options);
  checkTableName(context, relation);
  checkSchema(context, relation.schemaname, relation.location);
  const name = relation.relname ?? '';
  const columns: Column[] = [];
  const keys: KeyClause[] = [];
  for (const node of statement.tableElts ?? []) {
    if ('ColumnDef' in node) columns.push(bindColumn(context, node.ColumnDef, name, keys, columns));
    else if ('Constraint' in node) keys.push(tableKey(context, node.Constraint));
    else throw context.unsupported(describeKind(kindOf(node)));
  }
  if (columns.length > tableColumnsMax)
    throw context.error('54011', `tables can have at most ${tableColumnsMax} columns`, undefined);
  const primaryKey = bindKey(context, name, columns, keys);
  return {
    kind: 'create-table',
    definition: { schema: 'public', name, columns, primaryKey },
    ifNotExists: statement.if_not_exists === true,
  };
}

function checkSchema(context: BindContext, schema: string | undefined, location?: number): void {
  if (schema !== undefined && schema !== 'public')
    throw context.error('3F000', `schema "${schema}" does not exist`, location);
}

/** `WITH (fillfactor = …)` tunes PostgreSQL's heap pages, which there are none of here: it may be given. */
function checkStorageOptions(context: BindContext, options: readonly Node[] | undefined): void {
  for (const option of options ?? []) {
    if (!('DefElem' in option)) throw context.unsupported('storage parameter');
    const { defname = '', defnamespace, location } = option.DefElem;
    if (defname !== 'fillfactor' || defnamespace !== undefined)
      throw context.unsupported(`storage parameter "${defname}"`, location);
  }
}

function bindColumn(
  context: BindContext,
  definition: ColumnDef,
  table: string,
  keys: KeyClause[],
  earlier: readonly Column[],
): Column {
  refuseOthers(
    context,
    definition,
    ['colname', 'typeName', 'constraints', 'is_local', 'location'],
    {
      collClause: 'COLLATE',
      compression: 'COMPRESSION',
      storage_name: 'STORAGE',
      fdwoptions: 'OPTIONS',
    },
    definition.location,
  );
  const { colname = '', typeName, location } = definition;
  if (earlier.some((column) => column.name === colname))
    throw context.error('42701', `column "${colname}" specified more than once`, undefined);
  if (['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid'].includes(colname))
    throw context.error(
      '42701',
      `column name "${colname}" conflicts with a system column name`,
      undefined,
    );
  if (typeName === undefined) throw context.unsupported('column without a type', location);
  const { type, modifier } = bindTypeName(context, typeName);
  if (!type.storable)
    throw context.unsupported(
      type === numericType ? 'column of type numeric' : `column of type ${type.display}`,
      typeName.location,
    );
  const column: Column = { name: colname, type, modifier, notNull: false, default: undefined };
  bindColumnConstraints(context, definition, column, table, keys);
  return column;
}

function bindColumnConstraints(
  context: BindContext,
  definition: ColumnDef,
  column: Column,
  table: string,
  keys: KeyClause[],
): void {
  let nullability: boolean | undefined;
  let hasDefault = false;
  for (const node of definition.constraints ?? []) {
    if (!('Constraint' in node)) throw context.unsupported('column constraint');
    const { contype = '', location, raw_expr, conname } = node.Constraint;
    if (contype === 'CONSTR_NOTNULL' || contype === 'CONSTR_NULL') {
      const notNull = contype === 'CONSTR_NOTNULL';
      if (nullability !== undefined && nullability !== notNull)
        throw context.error(
          '42601',
          `conflicting NULL/NOT NULL declarations for column "${column.name}" of table "${table}"`,
          location,
        );
      nullability = notNull;
      column.notNull = notNull;
    } else if (contype === 'CONSTR_DEFAULT') {
      if (hasDefault)
        throw context.error(
          '42601',
          `multiple default values specified for column "${column.name}" of table "${table}"`,
          location,
        );
      hasDefault = true;
      if (raw_expr !== undefined) column.default = bindDefault(context, raw_expr, column);
    } else if (contype === 'CONSTR_PRIMARY') {
      checkKeyClause(context, node.Constraint);
      keys.push({ constraint: conname, names: [column.name], location });
    } else {
      throw context.unsupported(constraintWords[contype] ?? contype, location);
    }
  }
}

function tableKey(context: BindContext, constraint: Constraint): KeyClause {
  const { contype = '', conname, location } = constraint;
  if (contype !== 'CONSTR_PRIMARY')
    throw context.unsupported(constraintWords[contype] ?? contype, location);
  checkKeyClause(context, constraint);
  return {
    constraint: conname,
    names: (constraint.keys ?? []).map((key) => stringOf(key) ?? ''),
    location,
  };
}

function checkKeyClause(context: BindContext, constraint: Constraint): void {
  refuseOthers(
    context,
    constraint,
    ['contype', 'conname', 'keys', 'location', 'initially_valid', 'is_enforced'],
    {
      including: 'INCLUDE',
      deferrable: 'DEFERRABLE',
      initdeferred: 'INITIALLY DEFERRED',
      options: 'WITH',
      indexspace: 'USING INDEX TABLESPACE',
      indexname: 'USING INDEX',
      without_overlaps: 'WITHOUT OVERLAPS',
    },
    constraint.location,
  );
}

function bindKey(
  context: BindContext,
  table: string,
  columns: readonly Column[],
  keys: readonly KeyClause[],
): TableDefinition['primaryKey'] {
  const [key, second] = keys;
  if (key === undefined) return undefined;
  if (second !== undefined)
    throw context.error(
      '42P16',
      `multiple primary keys for table "${table}" are not allowed`,
      second.location,
    );
  if (key.names.length > keyColumnsMax)
    throw context.error(
      '54011',
      `cannot use more than ${keyColumnsMax} columns in an index`,
      undefined,
    );
  const offsets: number[] = [];
  for (const name of key.names) {
    const index = columns.findIndex((column) => column.name === name);
    const column = columns[index];
    if (column === undefined)
      throw context.error('42703', `column "${name}" named in key does not exist`, key.location);
    if (offsets.includes(index))
      throw context.error(
        '42701',
        `column "${name}" appears twice in primary key constraint`,
        key.location,
      );
    column.notNull = true;
    offsets.push(index);
  }
  return { constraint: key.constraint ?? constraintName(table), columns: offsets };
}

/** `t_pkey`, the table's name cut so that the whole fits. */
function constraintName(table: string): string {
  const suffix = '_pkey';
  let base = table;
  while (Buffer.byteLength(base, 'utf8') + suffix.length > nameBytesMax)
    base = [...base].slice(0, -1).join('');
  return base + suffix;
}

export function bindDrop(context: BindContext, statement: DropStmt): BoundUtility {
  const { removeType = '', objects, missing_ok, concurrent } = statement;
  if (removeType !== 'OBJECT_TABLE' || concurrent === true)
    throw context.unsupported(`DROP ${removeType.replace('OBJECT_', '').replaceAll('_', ' ')}`);
  const tables = (objects ?? []).map((object): TableName => {
    const parts = nameParts(listItems(object));
    const name = parts[parts.length - 1] ?? '';
    const schema = parts.length > 1 ? (parts[parts.length - 2] ?? '') : 'public';
    if (parts.length > 2) throw context.unsupported('cross-database reference');
    return { schema, name };
  });
  return { kind: 'drop-table', tables, ifExists: missing_ok === true };
}

export function bindTruncate(context: BindContext, statement: TruncateStmt): BoundUtility {
  const tables: TableDescriptor[] = [];
  for (const node of statement.relations ?? []) {
    if (!('RangeVar' in node)) throw context.unsupported('TRUNCATE target');
    const table = findTable(context, node.RangeVar, false);
    if (!tables.includes(table)) tables.push(table);
  }
  return { kind: 'truncate', tables };
}
