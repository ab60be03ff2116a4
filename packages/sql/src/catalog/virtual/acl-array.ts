/** Privileges as the system tables show them: arrays of aclitem. */
import { ArrayValue } from '../../types/values.ts';
import { type Acl, aclText } from '../acl.ts';
import { bootstrapRole } from '../built-in-role-names.ts';

/** NULL where nothing was granted or revoked. */
export function aclArray(acl: Acl | undefined): ArrayValue | null {
  return acl === undefined ? null : new ArrayValue(acl.map(aclText));
}

const own = { grantee: bootstrapRole, grantor: bootstrapRole, privileges: 'arwdDxt' };
const everybody = { grantee: '', grantor: bootstrapRole, privileges: 'r' };

export function systemTableAcl(name: string): Acl {
  return name === 'pg_authid' || name === 'pg_shadow' ? [own] : [own, everybody];
}
