/** CREATE SCHEMA and SET SCHEMA. */
import type { AlterObjectSchemaStmt, CreateSchemaStmt } from 'libpg-query';
import { describeKind, kindOf } from '../bind/ast.ts';
import { heldLetters } from '../catalog/acl.ts';
import { databaseAclOf } from '../catalog/object-acl.ts';
import { wordOf } from '../catalog/relation-word.ts';
import { isTemporarySchema, temporaryAlias } from '../catalog/temporary-schema.ts';
import { denied } from '../roles/role-errors.ts';
import { newOwner } from '../roles/role-names.ts';
import { SqlError } from '../sql-error.ts';
import { createTable } from './create-table.ts';
import { type DdlContext, missingRelation } from './ddl-context.ts';
import { objectWord } from './ddl-tag.ts';
import { requireDomain } from './domains.ts';
import { moveType, typeNameParts } from './types.ts';

export async function createSchema(ddl: DdlContext, statement: CreateSchemaStmt): Promise<string> {
  const context = ddl.binder();
  const { authrole, if_not_exists: ifNotExists } = statement;
  const owner = authrole === undefined ? ddl.user : newOwner(ddl, authrole);
  const name = statement.schemaname ?? owner;
  const acl = databaseAclOf(ddl.snapshot.database);
  const { database } = ddl.options.evaluation;
  if (
    !ddl.authority.superuser &&
    !heldLetters(acl, (role) => ddl.authority.roles.has(role)).includes('C')
  )
    throw denied(`permission denied for database ${database}`);
  if (!ddl.authority.isMemberOf(owner)) throw denied(`must be member of role "${owner}"`);
  if (name.startsWith('pg_'))
    throw new SqlError('42939', `unacceptable schema name "${name}"`, {
      detail: 'The prefix "pg_" is reserved for system schemas.',
    });
  if (ddl.snapshot.schemas.has(name)) {
    if (ifNotExists !== true) throw new SqlError('42P06', `schema "${name}" already exists`);
    ddl.notice('42P06', `schema "${name}" already exists, skipping`);
    return 'CREATE SCHEMA';
  }
  ddl.editor.putSchema({
    kind: 'schema',
    id: await ddl.takeId(),
    name,
    owner,
    ...ddl.initialAcl('schema', ''),
  });
  for (const node of statement.schemaElts ?? []) {
    if (!('CreateStmt' in node))
      throw context.unsupported(`${describeKind(kindOf(node))} in CREATE SCHEMA`);
    const { relation } = node.CreateStmt;
    await createTable(ddl, { ...node.CreateStmt, relation: { ...relation, schemaname: name } });
  }
  return 'CREATE SCHEMA';
}

/** ALTER TABLE, VIEW, SEQUENCE … SET SCHEMA. */
export async function alterObjectSchema(
  ddl: DdlContext,
  statement: AlterObjectSchemaStmt,
): Promise<string> {
  const { relation, newschema = '', objectType = '', missing_ok: ifExists } = statement;
  const tag = `ALTER ${objectWord(objectType)}`;
  if (objectType === 'OBJECT_DOMAIN') requireDomain(ddl, typeNameParts(statement.object));
  if (objectType === 'OBJECT_TYPE' || objectType === 'OBJECT_DOMAIN') {
    moveType(ddl, statement.object, newschema);
    return tag;
  }
  if (relation === undefined) throw ddl.binder().unsupported(`${tag} SET SCHEMA`);
  const { schemaname, relname = '' } = relation;
  const found = ddl.find(schemaname, relname);
  if (found !== undefined) ddl.requireOwner(found);
  if (found === undefined) {
    if (ifExists !== true) throw missingRelation(ddl, schemaname, relname, 'relation');
    ddl.notice('00000', `relation "${relname}" does not exist, skipping`);
    return tag;
  }
  const word = objectWord(objectType).toLowerCase();
  if (word !== 'table' && wordOf(found) !== word)
    throw new SqlError('42809', `"${relname}" is not a ${word}`);
  if (
    newschema === temporaryAlias ||
    isTemporarySchema(newschema) !== isTemporarySchema(found.schema)
  )
    throw new SqlError('0A000', 'cannot move objects into or out of temporary schemas');
  const schema = ddl.creationSchema({ schemaname: newschema }, relname);
  if (schema === found.schema) return tag;
  if (ddl.snapshot.isTaken(schema, relname))
    throw new SqlError('42P07', `relation "${relname}" already exists in schema "${schema}"`);
  ddl.editor.put({ ...found, schema });
  for (const other of ddl.snapshot.sorted())
    if (other.kind === 'sequence' && other.ownedBy?.table === found.id)
      ddl.editor.put({ ...other, schema });
  return tag;
}
