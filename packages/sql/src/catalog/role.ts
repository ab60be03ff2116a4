/**
 * Roles as the catalog holds them, and the few that are always there. Immutable values, by name: a role that anything refers
 * to is not dropped, so that a name never comes to mean somebody else.
 */
import type { SpanConfiguration } from '../cluster/cluster-inspector.ts';
import type { Acl } from './acl.ts';
import {
  bootstrapRole,
  databaseOwnerRole,
  readAllRole,
  writeAllRole,
} from './built-in-role-names.ts';

/** A role that has another: what its holder may do with it. */
export interface Membership {
  readonly role: string;
  /** May hand it on. */
  readonly admin: boolean;
  readonly grantor: string;
}

/** ALTER ROLE … SET: values by name of the setting. */
export type SettingValues = Readonly<Record<string, string>>;

export interface RoleDescriptor {
  readonly kind: 'role';
  readonly id: number;
  readonly name: string;
  readonly superuser: boolean;
  /** Has the privileges of the roles it is a member of without SET ROLE. */
  readonly inherit: boolean;
  readonly createRole: boolean;
  readonly createDatabase: boolean;
  readonly login: boolean;
  readonly replication: boolean;
  readonly bypassRowSecurity: boolean;
  /** -1 = none. Per gateway. */
  readonly connectionLimit: number;
  /** `SCRAM-SHA-256$…`, never a password. */
  readonly verifier?: string;
  /** Until when the verifier is good: microseconds since 2000, decimal. Absent: for ever. */
  readonly validUntil?: string;
  readonly memberOf: readonly Membership[];
  /** By database; '' = in all. */
  readonly settings: Readonly<Record<string, SettingValues>>;
  readonly comment?: string;
}

/** What is granted on objects that a role makes from now on, besides what they begin with anyway. */
export interface DefaultPrivileges {
  readonly role: string;
  /** '' = in any. */
  readonly schema: string;
  /** Views are tables here. */
  readonly kind: 'table' | 'sequence' | 'schema';
  readonly acl: Acl;
}

/** A database, apart from what lies in it. */
export interface DatabaseDescriptor {
  readonly kind: 'database';
  readonly id: number;
  readonly name: string;
  readonly owner: string;
  /** One that is there without a descriptor has been dropped. */
  readonly dropped?: boolean;
  /** Absent: the default. */
  readonly acl?: Acl;
  /** What the ranges of its tables obey, where these say nothing of it. */
  readonly ranges?: SpanConfiguration | undefined;
  /** ALTER DEFAULT PRIVILEGES. */
  readonly defaults?: readonly DefaultPrivileges[];
  /**
   * ALTER DATABASE … SET of all databases, by name, and ALTER ROLE ALL SET under '': as a role keeps its own. Those of the
   * initial database's descriptor count alone.
   */
  readonly settings: Readonly<Record<string, SettingValues>>;
  readonly comment?: string;
}

export type AccessDescriptor = RoleDescriptor | DatabaseDescriptor;

/** What it is kept by: unique among all of them. */
export function accessName(descriptor: AccessDescriptor): string {
  return descriptor.kind === 'role' ? roleKey(descriptor.name) : databaseKey(descriptor.id);
}

export function databaseKey(id: number): string {
  return id === initialDatabaseId ? 'database' : `database/${id}`;
}

export function roleKey(name: string): string {
  return `role/${name}`;
}

function predefined(id: number, name: string): RoleDescriptor {
  return {
    kind: 'role',
    id,
    name,
    superuser: false,
    inherit: true,
    createRole: false,
    createDatabase: false,
    login: false,
    replication: false,
    bypassRowSecurity: false,
    connectionLimit: -1,
    memberOf: [],
    settings: {},
  };
}

/** Oids are PostgreSQL's. */
export const builtInRoles: readonly RoleDescriptor[] = [
  {
    ...predefined(10, bootstrapRole),
    superuser: true,
    createRole: true,
    createDatabase: true,
    login: true,
    replication: true,
    bypassRowSecurity: true,
  },
  predefined(6171, databaseOwnerRole),
  predefined(6181, readAllRole),
  predefined(6182, writeAllRole),
];

export function newRole(id: number, name: string): RoleDescriptor {
  return predefined(id, name);
}

/** What lies in the initial database has keys and descriptors that name none. */
export const initialDatabaseId: number = 16_383;
/** PostgreSQL's oid of it. */
const maintenanceDatabaseId = 5;

export function newDatabase(id: number, name: string, owner: string): DatabaseDescriptor {
  return { kind: 'database', id, name, owner, settings: {} };
}

export const initialDatabase: DatabaseDescriptor = newDatabase(
  initialDatabaseId,
  'flotilla',
  bootstrapRole,
);

/** There without a descriptor: the one that clients begin in, and the one that tools connect to in order to make others. */
export const builtInDatabases: readonly DatabaseDescriptor[] = [
  initialDatabase,
  {
    ...newDatabase(maintenanceDatabaseId, 'postgres', bootstrapRole),
    comment: 'default administrative connection database',
  },
];
