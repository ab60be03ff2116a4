/** Databases, roles, schemas, settings, sessions: what is there once. */

import { ArrayValue } from '../../types/values.ts';
import { defaultAcl } from '../acl.ts';
import { initialDatabaseId, newRole, type RoleDescriptor, type SettingValues } from '../role.ts';
import type { CatalogSnapshot } from '../snapshot.ts';
import { aclArray } from './acl-array.ts';
import type { RowsOf, SystemRow } from './layout.ts';
import { bootstrapRoleOid, roleNames, roleOid } from './system-oids.ts';
import type { VirtualSource } from './virtual-table.ts';

function* namespaces({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const schema of snapshot.schemas.values())
    yield {
      oid: schema.id,
      nspname: schema.name,
      nspowner: roleOid(snapshot, schema.owner),
      nspacl: aclArray(schema.acl),
    };
}

/** The session's own by the name that the session knows it by. */
function* databases({ database, snapshot }: VirtualSource): Iterable<SystemRow> {
  const own = snapshot.contents.database;
  for (const one of snapshot.databases.values())
    yield {
      oid: one.id,
      datname: one.id === own ? database : one.name,
      datdba: roleOid(snapshot, one.owner),
      encoding: 6,
      datlocprovider: 'c',
      datallowconn: true,
      datconnlimit: -1,
      dattablespace: 1663,
      datacl: aclArray(one.acl),
      datcollate: 'C',
      datctype: 'C.UTF-8',
    };
}

/** A role that no descriptor is of: the name of a session that was let in unasked, which may do everything. */
function unnamed(name: string, snapshot: CatalogSnapshot): RoleDescriptor {
  return {
    ...newRole(roleOid(snapshot, name), name),
    ...{ superuser: true, createRole: true, createDatabase: true, login: true },
    ...{ replication: true, bypassRowSecurity: true },
  };
}

function allRoles({ snapshot, user }: VirtualSource): RoleDescriptor[] {
  return roleNames(snapshot, user).map(
    (name) => snapshot.roles.get(name) ?? unnamed(name, snapshot),
  );
}

/** @param verifiers as they are, for those who may see everything */
function roles(verifiers: boolean): RowsOf {
  return function* (source) {
    for (const role of allRoles(source))
      yield {
        oid: role.id,
        rolname: role.name,
        rolsuper: role.superuser,
        rolinherit: role.inherit,
        rolcreaterole: role.createRole,
        rolcreatedb: role.createDatabase,
        rolcanlogin: role.login,
        rolreplication: role.replication,
        rolbypassrls: role.bypassRowSecurity,
        rolconnlimit: role.connectionLimit,
        rolpassword: verifiers ? (role.verifier ?? null) : '********',
        rolvaliduntil: role.validUntil === undefined ? null : BigInt(role.validUntil),
        ...(verifiers ? {} : { rolconfig: settingList(role.settings['']) }),
      };
  };
}

function users(verifiers: boolean): RowsOf {
  return function* (source) {
    for (const role of allRoles(source))
      if (role.login)
        yield {
          usename: role.name,
          usesysid: role.id,
          usecreatedb: role.createDatabase,
          usesuper: role.superuser,
          userepl: role.replication,
          usebypassrls: role.bypassRowSecurity,
          passwd: verifiers ? (role.verifier ?? null) : '********',
          valuntil: role.validUntil === undefined ? null : BigInt(role.validUntil),
          useconfig: settingList(role.settings['']),
        };
  };
}

function* groups(source: VirtualSource): Iterable<SystemRow> {
  const all = allRoles(source);
  for (const role of all)
    if (!role.login)
      yield {
        groname: role.name,
        grosysid: role.id,
        grolist: new ArrayValue(
          all
            .filter((one) => one.memberOf.some((each) => each.role === role.name))
            .map(({ id }) => id),
        ),
      };
}

function* members({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const role of snapshot.roles.values())
    for (const membership of role.memberOf)
      yield {
        roleid: roleOid(snapshot, membership.role),
        member: role.id,
        grantor: roleOid(snapshot, membership.grantor),
        admin_option: membership.admin,
      };
}

/** `name=value`, as PostgreSQL lists them; null where there are none. */
function settingList(settings: SettingValues | undefined): ArrayValue | null {
  const list = Object.entries(settings ?? {}).map(([name, value]) => `${name}=${value}`);
  return list.length === 0 ? null : new ArrayValue(list);
}

function* storedSettings({ snapshot }: VirtualSource): Iterable<SystemRow> {
  const of = (id: number, all: RoleDescriptor['settings']): SystemRow[] =>
    Object.entries(all).map(([database, settings]) => ({
      setdatabase: snapshot.databases.get(database)?.id ?? 0,
      setrole: id,
      setconfig: settingList(settings),
    }));
  yield* of(0, snapshot.settings);
  for (const role of snapshot.roles.values()) yield* of(role.id, role.settings);
}

function* settings({ settings: all }: VirtualSource): Iterable<SystemRow> {
  for (const { name, value, initial, vartype, context } of all())
    yield {
      name,
      setting: value,
      unit: null,
      category: '',
      context,
      vartype,
      source: initial === value ? 'default' : 'session',
      boot_val: initial,
      reset_val: initial,
      pending_restart: false,
    };
}

/** The sessions of all processes that answer. One that names no client sees nothing but others. */
async function* activity(source: VirtualSource): AsyncIterable<SystemRow> {
  const { databases } = source.snapshot;
  for (const session of await source.sessions())
    yield {
      // Who was let in unasked may have called the initial one anything.
      datid: databases.get(session.database)?.id ?? initialDatabaseId,
      datname: session.database,
      pid: session.client.processId,
      usesysid: roleOid(source.snapshot, session.user),
      usename: session.user,
      application_name: session.applicationName,
      client_addr: session.client.address ?? null,
      client_port: session.client.port ?? null,
      backend_start: session.startedAt,
      xact_start: session.transactionStartedAt ?? null,
      query_start: session.statementStartedAt ?? null,
      state_change: session.stateSince,
      state: session.state,
      query: session.statement,
      backend_type: 'client backend',
    };
}

function* languages(): Iterable<SystemRow> {
  yield { oid: 12, lanname: 'internal', lanowner: bootstrapRoleOid };
  yield { oid: 14, lanname: 'sql', lanowner: bootstrapRoleOid, lanpltrusted: true };
}

function* tablespaces(): Iterable<SystemRow> {
  yield { oid: 1663, spcname: 'pg_default', spcowner: bootstrapRoleOid };
  yield { oid: 1664, spcname: 'pg_global', spcowner: bootstrapRoleOid };
}

const defaultKinds = { table: 'r', sequence: 'S', schema: 'n' } as const;

function* defaultPrivileges({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const one of snapshot.database.defaults ?? [])
    yield {
      oid: roleOid(snapshot, one.role),
      defaclrole: roleOid(snapshot, one.role),
      defaclnamespace: one.schema === '' ? 0 : (snapshot.schemas.get(one.schema)?.id ?? 0),
      defaclobjtype: defaultKinds[one.kind],
      // In any schema, what is listed takes the place of the default.
      defaclacl: aclArray(
        one.schema === '' ? [...defaultAcl(one.kind, one.role), ...one.acl] : one.acl,
      ),
    };
}

async function* locks(source: VirtualSource): AsyncIterable<SystemRow> {
  for (const { kind, key, database, mode, processId, granted } of await source.advisoryLocks())
    yield {
      locktype: 'advisory',
      database: database ?? initialDatabaseId,
      relation: null,
      page: null,
      tuple: null,
      virtualxid: null,
      transactionid: null,
      classid: Number(BigInt.asUintN(32, key >> 32n)),
      objid: Number(BigInt.asUintN(32, key)),
      objsubid: kind === 'single' ? 1 : 2,
      virtualtransaction: `${processId}/0`,
      pid: processId,
      mode: mode === 'exclusive' ? 'ExclusiveLock' : 'ShareLock',
      granted,
      fastpath: false,
      waitstart: null,
    };
}

function* cursors(source: VirtualSource): Iterable<SystemRow> {
  for (const cursor of source.cursors())
    yield {
      name: cursor.name,
      statement: cursor.statement,
      is_holdable: cursor.holds,
      is_binary: cursor.binary,
      is_scrollable: cursor.scrolls,
      creation_time: cursor.createdAt,
    };
}

function* preparedStatements(source: VirtualSource): Iterable<SystemRow> {
  for (const one of source.statements())
    yield {
      name: one.name,
      statement: one.statement,
      prepare_time: one.createdAt,
      parameter_types: new ArrayValue([...one.parameterTypes]),
      from_sql: one.fromSql,
    };
}

export const clusterTables: Readonly<Record<string, RowsOf>> = {
  pg_namespace: namespaces,
  pg_database: databases,
  pg_roles: roles(false),
  pg_authid: roles(true),
  pg_auth_members: members,
  pg_user: users(false),
  pg_shadow: users(true),
  pg_group: groups,
  pg_default_acl: defaultPrivileges,
  pg_db_role_setting: storedSettings,
  pg_settings: settings,
  pg_stat_activity: activity,
  pg_cursors: cursors,
  pg_locks: locks,
  pg_prepared_statements: preparedStatements,
  pg_language: languages,
  pg_tablespace: tablespaces,
};
