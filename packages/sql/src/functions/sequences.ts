/** nextval, currval, setval, lastval. A sequence is given as a regclass. */

import type { CatalogAccess } from '../catalog/catalog-access.ts';
import type { SequenceDescriptor } from '../catalog/descriptor.ts';
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

export const sequenceFunctions: readonly Signature[] = [
  signature(
    'nextval',
    [regclassType],
    int8Type,
    (a, _b, _c, context) => catalogOf(context).sequences.nextval(sequenceOf(a, context)),
    changing,
  ),
  signature(
    'currval',
    [regclassType],
    int8Type,
    (a, _b, _c, context) => catalogOf(context).sequences.currval(sequenceOf(a, context)),
    changing,
  ),
  signature(
    'setval',
    [regclassType, int8Type],
    int8Type,
    (a, b, _c, context) =>
      catalogOf(context).sequences.setval(sequenceOf(a, context), b as bigint, true),
    changing,
  ),
  signature(
    'setval',
    [regclassType, int8Type, boolType],
    int8Type,
    (a, b, c, context) =>
      catalogOf(context).sequences.setval(sequenceOf(a, context), b as bigint, c === true),
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
