/** Roles as statements name them. */
import type { Node, RoleSpec } from 'libpg-query';
import { listItems } from '../bind/ast.ts';
import type { RoleDescriptor } from '../catalog/role.ts';
import type { DdlContext } from '../ddl/ddl-context.ts';
import { SqlError } from '../sql-error.ts';
import { missingRole } from './role-errors.ts';

/** The name that a specification comes to. Throws 42704 for PUBLIC, which is nobody. */
export function roleNameOf(ddl: DdlContext, spec: RoleSpec | undefined): string {
  switch (spec?.roletype) {
    case 'ROLESPEC_CURRENT_USER':
    case 'ROLESPEC_CURRENT_ROLE':
      return ddl.user;
    case 'ROLESPEC_SESSION_USER':
      return ddl.sessionUser;
    case 'ROLESPEC_PUBLIC':
      throw missingRole('public');
    default:
      return spec?.rolename ?? '';
  }
}

export function roleNamesOf(ddl: DdlContext, nodes: Node | readonly Node[] | undefined): string[] {
  const items = nodes === undefined ? [] : 'length' in nodes ? nodes : listItems(nodes as Node);
  return [...items].flatMap((node) => ('RoleSpec' in node ? [roleNameOf(ddl, node.RoleSpec)] : []));
}

/** Throws 42704. */
export function existingRole(ddl: DdlContext, name: string): RoleDescriptor {
  const role = ddl.snapshot.roles.get(name);
  if (role === undefined) throw missingRole(name);
  return role;
}

/** The name of a role that is to own something. Throws 42704. */
export function newOwner(ddl: DdlContext, spec: RoleSpec | undefined): string {
  const name = roleNameOf(ddl, spec);
  if (!ddl.isRole(name)) throw missingRole(name);
  return name;
}

/** Throws 42939. */
export function refuseReserved(name: string): void {
  if (name.startsWith('pg_'))
    throw new SqlError('42939', `role name "${name}" is reserved`, {
      detail: 'Role names starting with "pg_" are reserved.',
    });
  if (name === 'public' || name === 'none')
    throw new SqlError('42939', `role name "${name}" is reserved`);
}
