/** nextval, currval, setval, lastval. A sequence is given as a regclass. */

import type { CatalogAccess } from '../catalog/catalog-access.ts';
import type { SequenceDescriptor } from '../catalog/descriptor.ts';
import { holds } from '../roles/access.ts';
import { denied } from '../roles/role-errors.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { boolType, int8Type, regclassType } from '../types/type.ts';
import { type EvalContext, type Signature, signature } from './signature.ts';

const changing = { volatility: 'volatile' } as const;

export function catalogOf(context: EvalContext): CatalogAccess {
  if (context.catalog === undefined)
    throw new SqlError('0A000', 'the catalog cannot be read where this expression is evaluated');
  return context.catalog;
}

function sequenceOf(oid: Datum, context: EvalContext): SequenceDescriptor {
  const found = catalogOf(context).names.snapshot.relations.get(Number(oid));
  if (found?.kind === 'sequence') return found;
  if (found !== undefined) throw new SqlError('42809', `"${found.name}" is not a sequence`);
  throw new SqlError('42P01', `could not open relation with OID ${String(oid)}`);
}

/** Throws 42501. @param letters any of them is enough */
function allowed(oid: Datum, letters: string, context: EvalContext): SequenceDescriptor {
  const sequence = sequenceOf(oid, context);
  const { authority } = catalogOf(context);
  if (authority.superuser || [...letters].some((letter) => holds(sequence, authority, letter)))
    return sequence;
  throw denied(`permission denied for sequence ${sequence.name}`);
}

/** The next value for an identity column: whoever may insert may have it. No function that anybody can call. */
export const identityValue: Signature = signature(
  'nextval',
  [regclassType],
  int8Type,
  (a, _b, _c, context) => catalogOf(context).sequences.nextval(sequenceOf(a, context)),
  changing,
);

export const sequenceFunctions: readonly Signature[] = [
  signature(
    'nextval',
    [regclassType],
    int8Type,
    (a, _b, _c, context) => catalogOf(context).sequences.nextval(allowed(a, 'Uw', context)),
    changing,
  ),
  signature(
    'currval',
    [regclassType],
    int8Type,
    (a, _b, _c, context) => catalogOf(context).sequences.currval(allowed(a, 'Ur', context)),
    changing,
  ),
  signature(
    'setval',
    [regclassType, int8Type],
    int8Type,
    (a, b, _c, context) =>
      catalogOf(context).sequences.setval(allowed(a, 'w', context), b as bigint, true),
    changing,
  ),
  signature(
    'setval',
    [regclassType, int8Type, boolType],
    int8Type,
    (a, b, c, context) =>
      catalogOf(context).sequences.setval(allowed(a, 'w', context), b as bigint, c === true),
    changing,
  ),
  signature(
    'lastval',
    [],
    int8Type,
    (_a, _b, _c, context) => catalogOf(context).sequences.lastval(),
    changing,
  ),
];
