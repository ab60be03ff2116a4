/** Databases, roles, schemas, settings, sessions: what is there once. */
import type { RowsOf, SystemRow } from './layout.ts';
import { bootstrapRoleOid, databaseOid, roleNames, roleOid } from './system-oids.ts';
import type { VirtualSource } from './virtual-table.ts';

function* namespaces({ snapshot }: VirtualSource): Iterable<SystemRow> {
  for (const schema of snapshot.schemas.values())
    yield { oid: schema.id, nspname: schema.name, nspowner: roleOid(schema.owner) };
}

function* databases({ database }: VirtualSource): Iterable<SystemRow> {
  yield {
    oid: databaseOid,
    datname: database,
    datdba: bootstrapRoleOid,
    encoding: 6,
    datlocprovider: 'c',
    datallowconn: true,
    datconnlimit: -1,
    dattablespace: 1663,
    datcollate: 'C',
    datctype: 'C.UTF-8',
  };
}

function roles(prefix: '' | 'use'): RowsOf {
  return function* ({ snapshot, user }) {
    for (const name of roleNames(snapshot, user)) {
      const isOwnerRole = name === 'pg_database_owner';
      const isSuper = !isOwnerRole;
      yield prefix === 'use'
        ? {
            usename: name,
            usesysid: roleOid(name),
            usecreatedb: isSuper,
            usesuper: isSuper,
            userepl: isSuper,
            usebypassrls: isSuper,
            passwd: '********',
          }
        : {
            oid: roleOid(name),
            rolname: name,
            rolsuper: isSuper,
            rolinherit: true,
            rolcreaterole: isSuper,
            rolcreatedb: isSuper,
            rolcanlogin: isSuper,
            rolreplication: isSuper,
            rolbypassrls: isSuper,
            rolconnlimit: -1,
            rolpassword: '********',
          };
    }
  };
}

function* settings({ settings: all }: VirtualSource): Iterable<SystemRow> {
  for (const { name, value } of all())
    yield {
      name,
      setting: value,
      category: '',
      context: 'user',
      vartype: 'string',
      source: 'default',
      boot_val: value,
      reset_val: value,
    };
}

function* activity(source: VirtualSource): Iterable<SystemRow> {
  yield {
    datid: databaseOid,
    datname: source.database,
    usesysid: roleOid(source.user),
    usename: source.user,
    application_name: source.setting('application_name') ?? '',
    state: 'active',
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

export const clusterTables: Readonly<Record<string, RowsOf>> = {
  pg_namespace: namespaces,
  pg_database: databases,
  pg_roles: roles(''),
  pg_authid: roles(''),
  pg_user: roles('use'),
  pg_shadow: roles('use'),
  pg_settings: settings,
  pg_stat_activity: activity,
  pg_language: languages,
  pg_tablespace: tablespaces,
};
