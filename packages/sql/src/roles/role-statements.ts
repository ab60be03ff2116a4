/** CREATE, ALTER and DROP ROLE, and the grants of roles to roles. Each changes the catalog in the making. */
import type {
  AlterRoleStmt,
  CreateRoleStmt,
  DropRoleStmt,
  GrantRoleStmt,
  Node,
  RenameStmt,
} from 'libpg-query';
import { bootstrapRole } from '../catalog/built-in-role-names.ts';
import { builtInRoles, newRole, type RoleDescriptor } from '../catalog/role.ts';
import type { DdlContext } from '../ddl/ddl-context.ts';
import { SqlError } from '../sql-error.ts';
import { isMember } from './authority.ts';
import { dependenciesOf, renameEverywhere } from './dependencies.ts';
import { denied } from './role-errors.ts';
import { existingRole, refuseReserved, roleNameOf, roleNamesOf } from './role-names.ts';
import { type RoleOptions, roleOptions } from './role-options.ts';

export async function createRole(ddl: DdlContext, statement: CreateRoleStmt): Promise<string> {
  const { role: name = '', stmt_type: type } = statement;
  const options = await roleOptions(ddl, statement.options);
  const { authority } = ddl;
  requireAttributes(ddl, options, 'create');
  if (!authority.createRole) throw denied('permission denied to create role');
  refuseReserved(name);
  if (ddl.snapshot.roles.has(name)) throw new SqlError('42710', `role "${name}" already exists`);
  const login = { login: type === 'ROLESTMT_USER' };
  putRole(ddl, { ...newRole(await ddl.takeId(), name), ...login }, options);
  for (const group of roleNamesOf(ddl, options.inRoles)) addMember(ddl, group, name, false);
  for (const member of roleNamesOf(ddl, options.members)) addMember(ddl, name, member, false);
  for (const member of roleNamesOf(ddl, options.admins)) addMember(ddl, name, member, true);
  return 'CREATE ROLE';
}

export async function alterRole(ddl: DdlContext, statement: AlterRoleStmt): Promise<string> {
  const { action = 1 } = statement;
  const name = roleNameOf(ddl, statement.role);
  const options = await roleOptions(ddl, statement.options);
  const role = existingRole(ddl, name);
  const { authority } = ddl;
  if (!authority.superuser) {
    if (options.changes.superuser !== undefined || role.superuser)
      throw denied('must be superuser to alter superuser roles or change superuser attribute');
    if (options.changes.replication !== undefined || role.replication)
      throw denied('must be superuser to alter replication roles or change replication attribute');
    if (options.changes.bypassRowSecurity !== undefined)
      throw denied('must be superuser to change bypassrls attribute');
    const onlyOwnPassword =
      name === ddl.user &&
      options.password !== undefined &&
      options.validUntil === undefined &&
      options.members.length === 0 &&
      Object.keys(options.changes).length === 0;
    if (!authority.createRole && !onlyOwnPassword) throw denied('permission denied');
  }
  if (name.startsWith('pg_')) refuseReserved(name);
  if (name === bootstrapRole && options.changes.superuser === false)
    throw new SqlError('0A000', 'the bootstrap user must be superuser');
  putRole(ddl, role, options);
  for (const member of roleNamesOf(ddl, options.members))
    if (action < 0) removeMember(ddl, name, member, false);
    else addMember(ddl, name, member, false);
  return 'ALTER ROLE';
}

/** Throws 42501. */
function requireAttributes(ddl: DdlContext, { changes }: RoleOptions, what: string): void {
  if (ddl.authority.superuser) return;
  if (changes.superuser === true) throw denied(`must be superuser to ${what} superusers`);
  if (changes.replication === true) throw denied(`must be superuser to ${what} replication users`);
  if (changes.bypassRowSecurity === true)
    throw denied(`must be superuser to ${what} bypassrls users`);
}

function putRole(ddl: DdlContext, role: RoleDescriptor, options: RoleOptions): void {
  const { verifier, validUntil, ...rest } = { ...role, ...options.changes };
  const kept = options.password === undefined ? verifier : options.password.verifier;
  const until = options.validUntil === undefined ? validUntil : options.validUntil.until;
  ddl.editor.putAccess({
    ...rest,
    ...(kept === undefined ? {} : { verifier: kept }),
    ...(until === undefined ? {} : { validUntil: until }),
  });
}

export async function dropRole(ddl: DdlContext, statement: DropRoleStmt): Promise<string> {
  const { authority } = ddl;
  if (!authority.createRole) throw denied('permission denied to drop role');
  const names: string[] = [];
  for (const node of statement.roles ?? []) {
    if (!('RoleSpec' in node)) continue;
    if (node.RoleSpec.roletype !== 'ROLESPEC_CSTRING')
      throw new SqlError('22023', 'cannot use special role specifier in DROP ROLE');
    const name = roleNameOf(ddl, node.RoleSpec);
    if (statement.missing_ok === true && !ddl.snapshot.roles.has(name)) {
      ddl.notice('00000', `role "${name}" does not exist, skipping`);
      continue;
    }
    const role = existingRole(ddl, name);
    if (name === ddl.user) throw new SqlError('55006', 'current user cannot be dropped');
    if (name === ddl.sessionUser) throw new SqlError('55006', 'session user cannot be dropped');
    if (role.superuser && !authority.superuser)
      throw denied('must be superuser to drop superusers');
    if (builtInRoles.some((one) => one.name === name))
      throw new SqlError(
        '2BP01',
        `cannot drop role ${name} because it is required by the database system`,
      );
    names.push(name);
  }
  for (const name of names) {
    const uses = dependenciesOf(ddl.snapshot, name);
    if (uses.length > 0)
      throw new SqlError(
        '2BP01',
        `role "${name}" cannot be dropped because some objects depend on it`,
        { detail: uses.join('\n') },
      );
    for (const other of ddl.snapshot.roles.values())
      if (other.memberOf.some((one) => one.role === name))
        ddl.editor.putAccess({
          ...other,
          memberOf: other.memberOf.filter((one) => one.role !== name),
        });
    ddl.editor.removeRole(name);
  }
  return 'DROP ROLE';
}

/** ALTER ROLE … RENAME TO: everything that names it names it anew. */
export function renameRole(ddl: DdlContext, { subname = '', newname = '' }: RenameStmt): string {
  const role = existingRole(ddl, subname);
  if (subname === ddl.sessionUser) throw new SqlError('0A000', 'session user cannot be renamed');
  if (subname === ddl.user) throw new SqlError('0A000', 'current user cannot be renamed');
  refuseReserved(subname);
  refuseReserved(newname);
  if (ddl.snapshot.roles.has(newname))
    throw new SqlError('42710', `role "${newname}" already exists`);
  if (role.superuser && !ddl.authority.superuser)
    throw denied('must be superuser to rename superusers');
  if (!ddl.authority.createRole) throw denied('permission denied to rename role');
  if (builtInRoles.some((one) => one.name === subname))
    throw new SqlError('0A000', `renaming role ${subname} is not supported yet`);
  ddl.editor.removeRole(subname);
  ddl.editor.putAccess({ ...role, name: newname });
  renameEverywhere(ddl.editor, subname, newname);
  return 'ALTER ROLE';
}

/** GRANT role TO role, and REVOKE. */
export function grantRole(ddl: DdlContext, statement: GrantRoleStmt): string {
  if (statement.grantor !== undefined) throw ddl.binder().unsupported('GRANTED BY');
  const isGrant = statement.is_grant === true;
  const admin = adminOption(ddl, statement.opt);
  const granted = (statement.granted_roles ?? []).flatMap((node) =>
    'AccessPriv' in node ? [node.AccessPriv.priv_name ?? ''] : [],
  );
  const members = roleNamesOf(ddl, statement.grantee_roles);
  for (const name of granted) {
    const role = existingRole(ddl, name);
    if (role.superuser && !ddl.authority.superuser)
      throw denied('must be superuser to alter superusers');
    if (!ddl.authority.createRole && !ddl.authority.isAdminOf(name))
      throw denied(`must have admin option on role "${name}"`);
    for (const member of members)
      if (isGrant) addMember(ddl, name, member, admin === true);
      else removeMember(ddl, name, member, admin !== undefined);
  }
  return isGrant ? 'GRANT ROLE' : 'REVOKE ROLE';
}

/** @returns undefined where the statement does not speak of it */
function adminOption(ddl: DdlContext, nodes: readonly Node[] | undefined): boolean | undefined {
  let admin: boolean | undefined;
  for (const node of nodes ?? []) {
    if (!('DefElem' in node) || node.DefElem.defname !== 'admin')
      throw ddl.binder().unsupported('option of GRANT role');
    const { arg } = node.DefElem;
    admin = arg !== undefined && 'Boolean' in arg && arg.Boolean.boolval === true;
  }
  return admin;
}

function addMember(ddl: DdlContext, name: string, member: string, admin: boolean): void {
  existingRole(ddl, name);
  const role = existingRole(ddl, member);
  const before = role.memberOf.find((one) => one.role === name);
  if (name === member || isMember(ddl.snapshot, name, member))
    throw new SqlError('0LP01', `role "${name}" is a member of role "${member}"`);
  if (before !== undefined && (before.admin || !admin)) {
    ddl.notice('00000', `role "${member}" is already a member of role "${name}"`);
    return;
  }
  const others = role.memberOf.filter((one) => one !== before);
  const memberOf = [...others, { role: name, admin, grantor: ddl.user }];
  ddl.editor.putAccess({ ...role, memberOf });
}

/** @param adminOnly what is taken away is the right to hand it on */
function removeMember(ddl: DdlContext, name: string, member: string, adminOnly: boolean): void {
  const role = existingRole(ddl, member);
  const before = role.memberOf.find((one) => one.role === name);
  if (before === undefined) {
    ddl.warning('01000', `role "${member}" is not a member of role "${name}"`);
    return;
  }
  const others = role.memberOf.filter((one) => one !== before);
  const memberOf = adminOnly ? [...others, { ...before, admin: false }] : others;
  ddl.editor.putAccess({ ...role, memberOf });
}
