/** COMMENT ON. */
import type { CommentStmt } from 'libpg-query';
import { describeKind, listItems, nameParts, stringOf } from '../bind/ast.ts';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { wordOf } from '../catalog/relation-word.ts';
import type { DatabaseDescriptor, RoleDescriptor } from '../catalog/role.ts';
import { requireOwner } from '../roles/access.ts';
import { SqlError } from '../sql-error.ts';
import { findDatabase } from './databases.ts';
import { type DdlContext, missingRelation } from './ddl-context.ts';
import { objectWord } from './ddl-tag.ts';
import { requireDomain } from './domains.ts';
import { findType, requireTypeOwner, typeNameParts } from './types.ts';

export async function comment(ddl: DdlContext, statement: CommentStmt): Promise<string> {
  const { objtype = '', object, comment: given } = statement;
  const text = given === undefined || given === '' ? undefined : given;
  const isType = ['OBJECT_TYPE', 'OBJECT_DOMAIN', 'OBJECT_DOMCONSTRAINT'].includes(objtype);
  const parts = isType ? [] : nameParts(listItems(object));
  switch (objtype) {
    case 'OBJECT_TABLE':
    case 'OBJECT_VIEW':
    case 'OBJECT_MATVIEW':
    case 'OBJECT_SEQUENCE': {
      const [name = '', schema] = [...parts].reverse();
      const found = ddl.find(schema, name);
      if (found === undefined) throw missingRelation(ddl, schema, name, 'relation');
      const word = objectWord(objtype).toLowerCase();
      if (wordOf(found) !== word) throw new SqlError('42809', `"${name}" is not a ${word}`);
      ddl.requireOwner(found);
      ddl.editor.put({ ...found, comments: withComment(found.comments, 0, text) });
      return 'COMMENT';
    }
    case 'OBJECT_COLUMN': {
      const [column = '', name = '', schema] = [...parts].reverse();
      const found = ddl.find(schema, name);
      if (found === undefined) throw missingRelation(ddl, schema, name, 'relation');
      const number =
        found.kind === 'table'
          ? (found.columns.find((one) => one.name === column)?.attributeNumber ?? 0)
          : found.kind === 'view'
            ? found.columns.findIndex((one) => one.name === column) + 1
            : 0;
      if (number === 0)
        throw new SqlError('42703', `column "${column}" of relation "${name}" does not exist`);
      requireOwner(ddl.authority, found.owner, `relation ${name}`);
      ddl.editor.put({ ...found, comments: withComment(found.comments, number, text) });
      return 'COMMENT';
    }
    case 'OBJECT_SCHEMA': {
      const [name = ''] = parts;
      const schema = ddl.snapshot.schemas.get(name);
      if (schema === undefined) throw new SqlError('3F000', `schema "${name}" does not exist`);
      ddl.requireSchemaOwner(schema);
      const { comment: _, ...rest } = schema;
      ddl.editor.putSchema(text === undefined ? rest : { ...rest, comment: text });
      return 'COMMENT';
    }
    case 'OBJECT_DOMAIN':
    case 'OBJECT_TYPE': {
      const type = findType(ddl, typeNameParts(object));
      if (objtype === 'OBJECT_DOMAIN' && type.domain === undefined)
        throw new SqlError('42809', `"${type.name}" is not a domain`);
      requireTypeOwner(ddl, type);
      ddl.editor.putType({ ...type, comments: withComment(type.comments, 0, text) });
      return 'COMMENT';
    }
    case 'OBJECT_DOMCONSTRAINT': {
      const [node, constraint] = listItems(object);
      const type = requireDomain(ddl, typeNameParts(node));
      requireTypeOwner(ddl, type);
      const name = stringOf(constraint) ?? '';
      const check = type.domain?.checks.find((one) => one.name === name);
      if (check === undefined)
        throw new SqlError('42704', `constraint "${name}" for domain ${type.name} does not exist`);
      ddl.editor.putType({ ...type, comments: withComment(type.comments, check.oid, text) });
      return 'COMMENT';
    }
    case 'OBJECT_INDEX': {
      const [name = '', schema] = [...parts].reverse();
      const { table, oid } = indexNamed(ddl, schema, name);
      ddl.requireOwner(table);
      ddl.editor.put({ ...table, comments: withComment(table.comments, oid, text) });
      return 'COMMENT';
    }
    case 'OBJECT_TABCONSTRAINT': {
      const [constraint = '', name = '', schema] = [...parts].reverse();
      const found = ddl.find(schema, name);
      if (found === undefined) throw missingRelation(ddl, schema, name, 'relation');
      requireOwner(ddl.authority, found.owner, `relation ${name}`);
      const oid = found.kind === 'table' ? constraintOid(found, constraint) : undefined;
      if (oid === undefined)
        throw new SqlError(
          '42704',
          `constraint "${constraint}" for table "${name}" does not exist`,
        );
      ddl.editor.put({ ...found, comments: withComment(found.comments, oid, text) });
      return 'COMMENT';
    }
    case 'OBJECT_DATABASE': {
      const [name = ''] = parts;
      const database = findDatabase(ddl, name);
      if (database === undefined) {
        ddl.warning('3D000', `database "${name}" does not exist`);
        return 'COMMENT';
      }
      requireOwner(ddl.authority, database.owner, `database ${name}`);
      ddl.editor.putAccess(described(database, text));
      return 'COMMENT';
    }
    case 'OBJECT_ROLE': {
      const [name = ''] = parts;
      const role = ddl.snapshot.roles.get(name);
      if (role === undefined) throw new SqlError('42704', `role "${name}" does not exist`);
      const { superuser } = ddl.authority;
      if (role.superuser && !superuser)
        throw new SqlError('42501', 'must be superuser to comment on superuser roles');
      if (!superuser && ddl.snapshot.roles.get(ddl.user)?.createRole !== true)
        throw new SqlError('42501', `must have CREATEROLE privilege`);
      ddl.editor.putAccess(described(role, text));
      return 'COMMENT';
    }
    default:
      throw ddl.binder().unsupported(`COMMENT ON ${describeKind(objtype.replace('OBJECT_', ''))}`);
  }
}

function described<T extends RoleDescriptor | DatabaseDescriptor>(
  one: T,
  text: string | undefined,
): T {
  const { comment: _, ...rest } = one;
  return (text === undefined ? rest : { ...rest, comment: text }) as T;
}

/** Throws 42P01, 42809. */
function indexNamed(
  ddl: DdlContext,
  written: string | undefined,
  name: string,
): { readonly table: TableDescriptor; readonly oid: number } {
  const { names } = ddl.binder();
  const schema = names.schemaOf(written);
  for (const one of schema === undefined ? names.path : [schema]) {
    const found = ddl.snapshot.findIndex(one, name);
    const oid = found?.index?.oid ?? found?.primaryKey?.indexOid;
    if (found !== undefined && oid !== undefined) return { table: found.table, oid };
  }
  if (ddl.find(written, name) === undefined) throw missingRelation(ddl, written, name, 'relation');
  throw new SqlError('42809', `"${name}" is not an index`);
}

function constraintOid(table: TableDescriptor, name: string): number | undefined {
  const { primaryKey, indexes, checks, foreignKeys } = table;
  if (primaryKey?.constraint === name) return primaryKey.constraintOid;
  const unique = indexes.find((one) => one.name === name && one.constraintOid !== 0);
  if (unique !== undefined) return unique.constraintOid;
  return [...checks, ...foreignKeys].find((one) => one.name === name)?.oid;
}

function withComment(
  comments: Readonly<Record<number, string>>,
  number: number,
  text: string | undefined,
): Readonly<Record<number, string>> {
  const { [number]: _, ...rest } = comments;
  return text === undefined ? rest : { ...rest, [number]: text };
}
