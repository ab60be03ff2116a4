/** Roles as arguments of functions give them: by name or by oid. */
import { roleNames, roleOid } from '../catalog/virtual/system-oids.ts';
import type { Authority } from '../roles/authority.ts';
import { missingRole } from '../roles/role-errors.ts';
import type { Datum } from '../session-api.ts';
import { catalogOf } from './sequences.ts';
import type { EvalContext } from './signature.ts';

/** Undefined for an oid that no role has. Throws 42704 for a name that none has. */
export function roleByValue(value: Datum, context: EvalContext): string | undefined {
  const { snapshot } = catalogOf(context).names;
  const names = roleNames(snapshot, context.user);
  if (typeof value === 'number') return names.find((name) => roleOid(snapshot, name) === value);
  const name = String(value);
  if (!names.includes(name)) throw missingRole(name);
  return name;
}

export function authorityForName(name: string, context: EvalContext): Authority {
  return catalogOf(context).authorityOf(name);
}
