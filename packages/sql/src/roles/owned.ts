/** Owners: ALTER … OWNER TO, REASSIGN OWNED, DROP OWNED. */
import type { AlterOwnerStmt, DropOwnedStmt, ReassignOwnedStmt } from 'libpg-query';
import { nameParts } from '../bind/ast.ts';
import { type Acl, aclNames, aclRenamed } from '../catalog/acl.ts';
import type { RelationDescriptor, SchemaDescriptor } from '../catalog/descriptor.ts';
import type { DatabaseDescriptor } from '../catalog/role.ts';
import { databaseNamed } from '../ddl/databases.ts';
import type { DdlContext } from '../ddl/ddl-context.ts';
import { requireDomain } from '../ddl/domains.ts';
import { dropObjects } from '../ddl/drop.ts';
import { findType, typeNameParts } from '../ddl/types.ts';
import { SqlError } from '../sql-error.ts';
import { requireOwner, requireSchema } from './access.ts';
import { denied } from './role-errors.ts';
import { existingRole, newOwner, roleNamesOf } from './role-names.ts';

/** Throws 42501. */
export function checkNewOwner(
  ddl: DdlContext,
  object: { readonly owner: string; readonly what: string; readonly schema: string | undefined },
  owner: string,
): void {
  const { authority } = ddl;
  if (authority.superuser) return;
  requireOwner(authority, object.owner, object.what);
  if (!authority.isMemberOf(owner)) throw denied(`must be member of role "${owner}"`);
  if (object.schema !== undefined)
    requireSchema(ddl.snapshot, ddl.authorityOf(owner), object.schema, 'C');
}

/** The relation with another owner; what goes with it goes along. */
export function giveRelation(ddl: DdlContext, relation: RelationDescriptor, owner: string): void {
  if (relation.owner !== owner)
    ddl.editor.put({ ...relation, owner, ...reowned(relation.acl, relation.owner, owner) });
  for (const other of ddl.snapshot.sorted())
    if (other.kind === 'sequence' && other.ownedBy?.table === relation.id && other.owner !== owner)
      ddl.editor.put({ ...other, owner, ...reowned(other.acl, other.owner, owner) });
}

/** Grants that the old owner made are the new one's. */
function reowned(acl: Acl | undefined, from: string, to: string): { readonly acl?: Acl } {
  return acl === undefined ? {} : { acl: aclRenamed(acl, from, to) };
}

/** ALTER SCHEMA … OWNER TO. Tables and the like come as ALTER TABLE. */
export function alterOwner(ddl: DdlContext, statement: AlterOwnerStmt): string {
  const { objectType = '', object } = statement;
  const shown = objectType.replace('OBJECT_', '').replaceAll('_', ' ');
  if (objectType === 'OBJECT_TYPE' || objectType === 'OBJECT_DOMAIN') {
    const find = objectType === 'OBJECT_DOMAIN' ? requireDomain : findType;
    const type = find(ddl, typeNameParts(object));
    const owner = newOwner(ddl, statement.newowner);
    const { schema } = type;
    checkNewOwner(ddl, { owner: type.owner, what: `type ${type.name}`, schema }, owner);
    if (type.owner !== owner) ddl.editor.putType({ ...type, owner });
    return `ALTER ${shown}`;
  }
  const [name = ''] = object === undefined ? [] : nameParts([object]);
  if (objectType === 'OBJECT_DATABASE') {
    const database = databaseNamed(ddl, name);
    giveDatabase(ddl, database, newOwner(ddl, statement.newowner), name);
    return 'ALTER DATABASE';
  }
  if (objectType !== 'OBJECT_SCHEMA') throw ddl.binder().unsupported(`ALTER ${shown} … OWNER TO`);
  const schema = ddl.snapshot.schemas.get(name);
  if (schema === undefined) throw new SqlError('3F000', `schema "${name}" does not exist`);
  const owner = newOwner(ddl, statement.newowner);
  checkNewOwner(ddl, { owner: schema.owner, what: `schema ${name}`, schema: undefined }, owner);
  giveSchema(ddl, schema, owner);
  return 'ALTER SCHEMA';
}

/** Throws 42501. @param shown its name as written */
function giveDatabase(
  ddl: DdlContext,
  database: DatabaseDescriptor,
  owner: string,
  shown: string,
): void {
  const { authority } = ddl;
  const what = `database ${shown}`;
  checkNewOwner(ddl, { owner: database.owner, what, schema: undefined }, owner);
  if (!authority.createDatabase) throw denied('permission denied to change owner of database');
  if (database.owner !== owner)
    ddl.editor.putAccess({ ...database, owner, ...reowned(database.acl, database.owner, owner) });
}

function giveSchema(ddl: DdlContext, schema: SchemaDescriptor, owner: string): void {
  if (schema.owner !== owner)
    ddl.editor.putSchema({ ...schema, owner, ...reowned(schema.acl, schema.owner, owner) });
}

export function reassignOwned(ddl: DdlContext, statement: ReassignOwnedStmt): string {
  const roles = existing(ddl, roleNamesOf(ddl, statement.roles), 'reassign objects');
  const owner = newOwner(ddl, statement.newrole);
  if (!ddl.authority.isMemberOf(owner)) throw denied('permission denied to reassign objects');
  for (const relation of ddl.snapshot.sorted())
    if (roles.includes(relation.owner)) giveRelation(ddl, relation, owner);
  for (const type of ddl.snapshot.types())
    if (roles.includes(type.owner)) ddl.editor.putType({ ...type, owner });
  for (const schema of ddl.snapshot.schemas.values())
    if (roles.includes(schema.owner)) giveSchema(ddl, schema, owner);
  for (const database of ddl.snapshot.databases.values())
    if (roles.includes(database.owner))
      ddl.editor.putAccess({ ...database, owner, ...reowned(database.acl, database.owner, owner) });
  return 'REASSIGN OWNED';
}

/** Takes away what they own, and what was granted to them. */
export async function dropOwned(ddl: DdlContext, statement: DropOwnedStmt): Promise<string> {
  const roles = existing(ddl, roleNamesOf(ddl, statement.roles), 'drop objects');
  const cascade = statement.behavior === 'DROP_CASCADE';
  await dropObjects(
    ddl,
    {
      types: ddl.snapshot.types().filter(({ owner }) => roles.includes(owner)),
      relations: ddl.snapshot.sorted().filter(({ owner }) => roles.includes(owner)),
      schemas: [...ddl.snapshot.schemas.values()].filter(({ owner }) => roles.includes(owner)),
    },
    cascade,
  );
  for (const role of roles) forgetGrants(ddl, role);
  return 'DROP OWNED';
}

function existing(ddl: DdlContext, names: readonly string[], what: string): readonly string[] {
  for (const name of names) {
    existingRole(ddl, name);
    if (!ddl.authority.isMemberOf(name)) throw denied(`permission denied to ${what}`);
  }
  return names;
}

function forgetGrants(ddl: DdlContext, role: string): void {
  const without = (acl: Acl): Acl =>
    acl.filter((one) => one.grantee !== role && one.grantor !== role);
  for (const relation of ddl.snapshot.sorted()) {
    const columns = Object.entries(relation.columnAcls ?? {});
    if (!aclNames(relation.acl, role) && !columns.some(([, acl]) => aclNames(acl, role))) continue;
    const kept = columns.map(([number, acl]) => [number, without(acl)] as const);
    ddl.editor.put({
      ...relation,
      ...(relation.acl === undefined ? {} : { acl: without(relation.acl) }),
      columnAcls: Object.fromEntries(kept.filter(([, acl]) => acl.length > 0)),
    });
  }
  for (const schema of ddl.snapshot.schemas.values())
    if (schema.acl !== undefined && aclNames(schema.acl, role))
      ddl.editor.putSchema({ ...schema, acl: without(schema.acl) });
  const { database } = ddl.snapshot;
  const defaults = (database.defaults ?? [])
    .filter((one) => one.role !== role)
    .map((one) => ({ ...one, acl: without(one.acl) }))
    .filter((one) => one.acl.length > 0);
  ddl.editor.putAccess({
    ...database,
    ...(database.acl === undefined ? {} : { acl: without(database.acl) }),
    defaults,
  });
}
