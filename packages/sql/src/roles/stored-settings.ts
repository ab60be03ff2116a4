/** ALTER ROLE … SET and ALTER DATABASE … SET: settings that sessions begin with. */
import type { AlterDatabaseSetStmt, AlterRoleSetStmt, VariableSetStmt } from 'libpg-query';
import { bindSet } from '../bind/bind-utility.ts';
import type { RoleDescriptor, SettingValues } from '../catalog/role.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { databaseNamed } from '../ddl/databases.ts';
import type { DdlContext } from '../ddl/ddl-context.ts';
import { canonicalSettingName, checkSettingValue } from '../settings.ts';
import { requireOwner } from './access.ts';
import { denied } from './role-errors.ts';
import { existingRole, roleNameOf } from './role-names.ts';

export function alterRoleSettings(ddl: DdlContext, statement: AlterRoleSetStmt): string {
  const { role: spec, setstmt } = statement;
  const database =
    statement.database === undefined ? '' : databaseNamed(ddl, statement.database).name;
  if (spec === undefined) {
    if (!ddl.authority.superuser) throw denied('must be superuser to alter settings globally');
    alterDatabases(ddl, database, setstmt);
    return 'ALTER ROLE';
  }
  const name = roleNameOf(ddl, spec);
  const role = existingRole(ddl, name);
  if (role.superuser && !ddl.authority.superuser)
    throw denied('must be superuser to alter superusers');
  if (!ddl.authority.createRole && name !== ddl.user) throw denied('permission denied');
  ddl.editor.putAccess({ ...role, settings: changed(ddl, role.settings, database, setstmt) });
  return 'ALTER ROLE';
}

export function alterDatabaseSettings(ddl: DdlContext, statement: AlterDatabaseSetStmt): string {
  const { dbname = '', setstmt } = statement;
  const database = databaseNamed(ddl, dbname);
  requireOwner(ddl.authority, database.owner, `database ${dbname}`);
  alterDatabases(ddl, database.name, setstmt);
  return 'ALTER DATABASE';
}

/** What a session of this user in this database begins with: the nearer wins. */
export function settingsOfLogin(
  snapshot: CatalogSnapshot,
  user: string,
  database: string,
): SettingValues {
  const role = snapshot.roles.get(user)?.settings ?? {};
  const all = snapshot.settings;
  return { ...all[''], ...all[database], ...role[''], ...role[database] };
}

function alterDatabases(
  ddl: DdlContext,
  database: string,
  statement: VariableSetStmt | undefined,
): void {
  ddl.editor.putSettings(changed(ddl, ddl.snapshot.settings, database, statement));
}

function changed(
  ddl: DdlContext,
  all: RoleDescriptor['settings'],
  database: string,
  statement: VariableSetStmt | undefined,
): RoleDescriptor['settings'] {
  if (statement === undefined) return all;
  const { [database]: own = {}, ...others } = all;
  const bound = bindSet(ddl.binder(), statement);
  if (bound.kind === 'reset-all') return others;
  if (bound.kind !== 'set') throw ddl.binder().unsupported('this setting of a role');
  const name = canonicalSettingName(bound.name);
  const { [name]: _, ...rest } = own;
  const value = bound.value ?? (statement.kind === 'VAR_SET_VALUE' ? '' : undefined);
  if (value === undefined)
    return Object.keys(rest).length === 0 ? others : { ...others, [database]: rest };
  return { ...others, [database]: { ...rest, [name]: checkSettingValue(name, value) } };
}
