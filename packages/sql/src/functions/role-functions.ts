/** pg_has_role. A role is given by its name or its oid. */

import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { boolType, nameType, oidType, textType } from '../types/type.ts';
import { authorityForName, roleByValue } from './role-lookup.ts';
import { type EvalContext, type Signature, signature } from './signature.ts';

const stable = { volatility: 'stable' } as const;

/** Throws 42704, 22023. */
function hasRole(user: Datum | undefined, role: Datum, kind: Datum, context: EvalContext): Datum {
  const of = roleByValue(role, context);
  const who = user === undefined ? context.user : roleByValue(user, context);
  if (of === undefined || who === undefined) return null;
  const authority = authorityForName(who, context);
  let all = true;
  for (const word of String(kind)
    .split(',')
    .map((one) => one.trim().toLowerCase())) {
    const [, name = '', admin] = /^(usage|member)( with (?:grant|admin) option)?$/.exec(word) ?? [];
    if (name === '') throw new SqlError('22023', `unrecognized privilege type: "${String(kind)}"`);
    const own =
      admin !== undefined
        ? authority.isAdminOf(of)
        : name === 'usage'
          ? authority.has(of)
          : authority.isMemberOf(of);
    // Any of several is enough, as in PostgreSQL.
    if (own) return true;
    all = false;
  }
  return all;
}

const twoNames = [nameType, oidType] as const;

export const roleFunctions: readonly Signature[] = twoNames.flatMap((role) => [
  signature(
    'pg_has_role',
    [role, textType],
    boolType,
    (of, kind, _c, context) => hasRole(undefined, of, kind, context),
    stable,
  ),
  ...twoNames.map((user) =>
    signature(
      'pg_has_role',
      [user, role, textType],
      boolType,
      (who, of, kind, context) => hasRole(who, of, kind, context),
      stable,
    ),
  ),
]);
