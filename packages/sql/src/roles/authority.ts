/**
 * What one role may do: itself, the roles whose privileges it has, and whether it is above all that. Computed from a snapshot
 * of the catalog and kept with it. Grants and checks ask it; it knows no privileges on objects.
 */
import { databaseOwnerRole } from '../catalog/built-in-role-names.ts';
import type { RoleDescriptor } from '../catalog/role.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';

/** Who asks. */
export interface Identity {
  readonly user: string;
  /**
   * The name of a session that was let in without being asked who it is. A name that no role has is above all privileges
   * there: he could have given any other.
   */
  readonly trusted: string | undefined;
}

const known = new WeakMap<CatalogSnapshot, Map<string, Authority>>();

export function authorityOf(snapshot: CatalogSnapshot, identity: Identity): Authority {
  let mine = known.get(snapshot);
  if (mine === undefined) {
    mine = new Map();
    known.set(snapshot, mine);
  }
  const { user } = identity;
  const key = identity.trusted === undefined ? user : `${user}\0`;
  let authority = mine.get(key);
  if (authority === undefined) {
    authority = new Authority(snapshot, identity);
    mine.set(key, authority);
  }
  return authority;
}

export class Authority {
  readonly user: string;
  readonly trusted: string | undefined;
  readonly superuser: boolean;
  readonly createRole: boolean;
  readonly createDatabase: boolean;
  /** The role itself and those whose privileges it has by inheritance. */
  readonly roles: ReadonlySet<string>;
  private readonly snapshot: CatalogSnapshot;

  constructor(snapshot: CatalogSnapshot, { user, trusted }: Identity) {
    const role = snapshot.roles.get(user);
    this.snapshot = snapshot;
    this.user = user;
    this.trusted = trusted;
    this.superuser = role?.superuser ?? trusted !== undefined;
    this.createRole = this.superuser || role?.createRole === true;
    this.createDatabase = this.superuser || role?.createDatabase === true;
    this.roles = rolesOf(snapshot, user, (one) => one.inherit);
  }

  /** Whether it has the privileges of this role. */
  has(role: string): boolean {
    return this.superuser || this.roles.has(role);
  }

  /** Whether it may SET ROLE to it. */
  isMemberOf(role: string): boolean {
    return this.superuser || rolesOf(this.snapshot, this.user, () => true).has(role);
  }

  /** Whether it may hand the role on. */
  isAdminOf(role: string): boolean {
    if (this.superuser) return true;
    for (const name of rolesOf(this.snapshot, this.user, () => true))
      if (this.snapshot.roles.get(name)?.memberOf.some((one) => one.role === role && one.admin))
        return true;
    return false;
  }
}

/** @param through whether what a member has goes on to its own members' holder */
function rolesOf(
  snapshot: CatalogSnapshot,
  user: string,
  through: (role: RoleDescriptor) => boolean,
): Set<string> {
  const found = new Set([user]);
  for (const name of found) {
    // Whoever owns the database is a member of the role of its owner.
    if (name === snapshot.database.owner) found.add(databaseOwnerRole);
    const role = snapshot.roles.get(name);
    if (role !== undefined && through(role))
      for (const membership of role.memberOf) found.add(membership.role);
  }
  return found;
}

/** Whether `role` is a member of `of` by any way. */
export function isMember(snapshot: CatalogSnapshot, role: string, of: string): boolean {
  return rolesOf(snapshot, role, () => true).has(of);
}
