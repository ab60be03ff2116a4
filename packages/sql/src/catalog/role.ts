/**
 * Roles as the catalog holds them, and the few that are always there. Immutable values, by name: a role that anything refers
 * to is not dropped, so that a name never comes to mean somebody else.
 */
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

/** What is kept of the only database, apart from what lies in it. */
export interface DatabaseDescriptor {
  readonly kind: 'database';
  /** Absent: the default. */
  readonly acl?: Acl;
  /** ALTER DEFAULT PRIVILEGES. */
  readonly defaults?: readonly DefaultPrivileges[];
  /** ALTER DATABASE … SET, and ALTER ROLE ALL SET under ''. By database. */
  readonly settings: Readonly<Record<string, SettingValues>>;
  readonly comment?: string;
}

export type AccessDescriptor = RoleDescriptor | DatabaseDescriptor;

/** What it is kept by: unique among all of them. */
export function accessName(descriptor: AccessDescriptor): string {
  return descriptor.kind === 'role' ? roleKey(descriptor.name) : 'database';
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

export const noDatabase: DatabaseDescriptor = { kind: 'database', settings: {} };
