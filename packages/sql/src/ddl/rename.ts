/** ALTER … RENAME: tables, views, materialized or not, sequences, indexes, schemas, columns, constraints. */
import type { RenameStmt } from 'libpg-query';
import type { Expression } from '../bind/expression.ts';
import { mapChildren } from '../bind/expression-tree.ts';
import { bindStored } from '../bind/stored-expression.ts';
import type { RelationDescriptor, TableDescriptor } from '../catalog/descriptor.ts';
import { isMaterialized, type RelationWord, wordOf } from '../catalog/relation-word.ts';
import { isSystemSchema } from '../catalog/snapshot.ts';
import { print } from '../plan/explain.ts';
import { requireOwner } from '../roles/access.ts';
import { renameRole } from '../roles/role-statements.ts';
import { SqlError } from '../sql-error.ts';
import { renameDatabase } from './databases.ts';
import { type DdlContext, missingRelation } from './ddl-context.ts';
import { ddlTag } from './ddl-tag.ts';
import { renameDomainConstraint, requireDomain } from './domains.ts';
import { refuseTypeUses, renameType as renameUserType, typeNameParts } from './types.ts';
import { viewsUsing } from './view-uses.ts';

const words: Readonly<Record<string, RelationWord>> = {
  OBJECT_TABLE: 'table',
  OBJECT_VIEW: 'view',
  OBJECT_MATVIEW: 'materialized view',
  OBJECT_SEQUENCE: 'sequence',
};

export async function rename(ddl: DdlContext, statement: RenameStmt): Promise<string> {
  const { renameType = '', relation, subname = '', newname = '' } = statement;
  const tag = ddlTag({ RenameStmt: statement });
  if (renameType === 'OBJECT_SCHEMA') {
    renameSchema(ddl, subname, newname);
    return tag;
  }
  if (renameType === 'OBJECT_DOMCONSTRAINT') {
    renameDomainConstraint(ddl, typeNameParts(statement.object), subname, newname);
    return tag;
  }
  if (renameType === 'OBJECT_DOMAIN') requireDomain(ddl, typeNameParts(statement.object));
  if (renameType === 'OBJECT_TYPE' || renameType === 'OBJECT_DOMAIN') {
    renameUserType(ddl, statement.object, newname);
    return tag;
  }
  if (renameType === 'OBJECT_ROLE') return renameRole(ddl, statement);
  if (renameType === 'OBJECT_DATABASE') return renameDatabase(ddl, subname, newname);
  if (relation === undefined) throw ddl.binder().unsupported(`${tag} RENAME`);
  const { schemaname, relname = '' } = relation;
  if (
    renameType === 'OBJECT_INDEX' ||
    (renameType === 'OBJECT_TABLE' && isIndex(ddl, schemaname, relname))
  ) {
    renameIndex(ddl, {
      schema: schemaname,
      name: relname,
      to: newname,
      ifExists: statement.missing_ok === true,
    });
    return tag;
  }
  const found = ddl.find(schemaname, relname);
  if (found === undefined) {
    if (statement.missing_ok !== true) throw missingRelation(ddl, schemaname, relname, 'relation');
    ddl.notice('00000', `relation "${relname}" does not exist, skipping`);
    return tag;
  }
  ddl.requireOwner(found);
  if (renameType === 'OBJECT_COLUMN') renameColumn(ddl, found, subname, newname);
  else if (renameType === 'OBJECT_TABCONSTRAINT') renameConstraint(ddl, found, subname, newname);
  else {
    const word = words[renameType];
    if (word === undefined) throw ddl.binder().unsupported(`${tag} RENAME`);
    if (wordOf(found) !== word && word !== 'table')
      throw new SqlError('42809', `"${relname}" is not a ${word}`);
    refuseTaken(ddl, found.schema, newname);
    refuseViews(ddl, found.id, undefined, 'relation');
    ddl.editor.put({ ...found, name: newname });
  }
  return tag;
}

function refuseTaken(ddl: DdlContext, schema: string, name: string): void {
  if (ddl.snapshot.isTaken(schema, name))
    throw new SqlError('42P07', `relation "${name}" already exists`);
}

/** The texts of views name what they read. */
function refuseViews(ddl: DdlContext, id: number, column: string | undefined, what: string): void {
  const [view] = viewsUsing(ddl, id, column);
  if (view === undefined) return;
  const word = isMaterialized(view) ? 'Materialized view' : 'View';
  throw new SqlError('0A000', `renaming a ${what} that a view uses is not supported yet`, {
    detail: `${word} "${view.name}" uses it.`,
  });
}

function renameSchema(ddl: DdlContext, name: string, to: string): void {
  const { snapshot, editor } = ddl;
  const schema = snapshot.schemas.get(name);
  if (schema === undefined) throw new SqlError('3F000', `schema "${name}" does not exist`);
  if (snapshot.schemas.has(to)) throw new SqlError('42P06', `schema "${to}" already exists`);
  if (to.startsWith('pg_') || isSystemSchema(name))
    throw new SqlError('42939', `unacceptable schema name "${to}"`, {
      detail: 'The prefix "pg_" is reserved for system schemas.',
    });
  ddl.requireSchemaOwner(schema);
  const inside = snapshot.sorted().filter((one) => one.schema === name);
  for (const relation of inside) refuseViews(ddl, relation.id, undefined, 'schema');
  const types = snapshot.types().filter((one) => one.schema === name);
  for (const type of types) refuseTypeUses(ddl, type, 'moving');
  editor.removeSchema(schema);
  editor.putSchema({ ...schema, name: to });
  for (const type of types) editor.putType({ ...type, schema: to });
  for (const { id } of inside) {
    const relation = ddl.snapshot.relations.get(id);
    if (relation !== undefined) editor.put({ ...relation, schema: to });
  }
}

function isIndex(ddl: DdlContext, schema: string | undefined, name: string): boolean {
  return findIndex(ddl, schema, name) !== undefined && ddl.find(schema, name) === undefined;
}

function findIndex(ddl: DdlContext, schema: string | undefined, name: string) {
  for (const one of schema === undefined ? ddl.binder().names.path : [schema]) {
    const found = ddl.snapshot.findIndex(one, name);
    if (found !== undefined) return found;
  }
  return undefined;
}

function renameIndex(
  ddl: DdlContext,
  options: {
    readonly schema: string | undefined;
    readonly name: string;
    readonly to: string;
    readonly ifExists: boolean;
  },
): void {
  const { schema, name, to, ifExists } = options;
  const found = findIndex(ddl, schema, name);
  if (found === undefined) {
    if (!ifExists) throw missingRelation(ddl, schema, name, 'relation');
    ddl.notice('00000', `relation "${name}" does not exist, skipping`);
    return;
  }
  const { table, index, primaryKey } = found;
  requireOwner(ddl.authority, table.owner, `index ${name}`);
  refuseTaken(ddl, table.schema, to);
  ddl.editor.put({
    ...table,
    primaryKey: primaryKey === undefined ? table.primaryKey : { ...primaryKey, constraint: to },
    indexes: table.indexes.map((one) => (one === index ? { ...one, name: to } : one)),
  });
}

function renameColumn(ddl: DdlContext, found: RelationDescriptor, name: string, to: string): void {
  if (found.kind !== 'table') throw ddl.binder().unsupported('RENAME COLUMN of a view');
  const column = found.columns.find((one) => one.name === name);
  if (column === undefined) throw new SqlError('42703', `column "${name}" does not exist`);
  if (found.columns.some((one) => one.name === to))
    throw new SqlError('42701', `column "${to}" of relation "${found.name}" already exists`);
  refuseViews(ddl, found.id, name, 'column');
  const renamed = (text: string) => print(withName(bindStored(text, 'CHECK', found), name, to));
  ddl.editor.put<TableDescriptor>({
    ...found,
    columns: found.columns.map((one) => ({
      ...one,
      name: one === column ? to : one.name,
      ...(one.generated === undefined ? {} : { generated: renamed(one.generated) }),
    })),
    checks: found.checks.map((one) => ({ ...one, expression: renamed(one.expression) })),
    indexes: found.indexes.map((index) => ({
      ...index,
      columns: index.columns.map((one) =>
        one.expression === undefined ? one : { ...one, expression: renamed(one.expression) },
      ),
      ...(index.predicate === undefined ? {} : { predicate: renamed(index.predicate) }),
    })),
  });
}

function withName(expression: Expression, name: string, to: string): Expression {
  if (expression.kind === 'column')
    return expression.name === name ? { ...expression, name: to } : expression;
  return mapChildren(expression, (child) => withName(child, name, to));
}

function renameConstraint(
  ddl: DdlContext,
  found: RelationDescriptor,
  name: string,
  to: string,
): void {
  if (found.kind !== 'table') throw new SqlError('42809', `"${found.name}" is not a table`);
  const { primaryKey, indexes, checks, foreignKeys } = found;
  const index = indexes.find((one) => one.name === name && one.constraintOid !== 0);
  const isKey = primaryKey?.constraint === name;
  const all = [...checks, ...foreignKeys, ...indexes.filter((one) => one.constraintOid !== 0)];
  if (index === undefined && !isKey && !all.some((one) => one.name === name))
    throw new SqlError('42704', `constraint "${name}" for table "${found.name}" does not exist`);
  if (all.some((one) => one.name === to) || primaryKey?.constraint === to)
    throw new SqlError('42710', `constraint "${to}" for relation "${found.name}" already exists`);
  if (index !== undefined || isKey) refuseTaken(ddl, found.schema, to);
  const renamed = <T extends { readonly name: string }>(one: T): T =>
    one.name === name ? { ...one, name: to } : one;
  ddl.editor.put<TableDescriptor>({
    ...found,
    primaryKey: isKey && primaryKey !== undefined ? { ...primaryKey, constraint: to } : primaryKey,
    indexes: indexes.map((one) => (one === index ? renamed(one) : one)),
    checks: checks.map(renamed),
    foreignKeys: foreignKeys.map(renamed),
  });
}
