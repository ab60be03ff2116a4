/** Functions over enumerations: what their labels are. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { anyarrayType, anyenumType, type SqlType } from '../types/type.ts';
import { ArrayValue } from '../types/values.ts';
import { type Signature, typedSignature } from './signature.ts';

const lax = { strict: false, volatility: 'stable' } as const;

function labelsOf(type: SqlType | undefined): readonly string[] {
  return (type?.labels ?? []).map(({ label }) => label);
}

/** Throws 55000. */
function end(type: SqlType | undefined, label: string | undefined): Datum {
  if (label !== undefined) return label;
  throw new SqlError('55000', `enum ${type?.display ?? ''} contains no values`);
}

export const enumFunctions: readonly Signature[] = [
  typedSignature(
    'enum_range',
    [anyenumType],
    anyarrayType,
    ({ parameters: [type] }) => {
      const all = new ArrayValue([...labelsOf(type)]);
      return () => all;
    },
    lax,
  ),
  typedSignature(
    'enum_range',
    [anyenumType, anyenumType],
    anyarrayType,
    ({ parameters: [type] }) => {
      const labels = labelsOf(type);
      return ([from = null, to = null]) => {
        const first = from === null ? 0 : labels.indexOf(from as string);
        const last = to === null ? labels.length : labels.indexOf(to as string) + 1;
        return new ArrayValue(labels.slice(first, Math.max(first, last)));
      };
    },
    lax,
  ),
  typedSignature(
    'enum_first',
    [anyenumType],
    anyenumType,
    ({ parameters: [type] }) =>
      () =>
        end(type, labelsOf(type)[0]),
    lax,
  ),
  typedSignature(
    'enum_last',
    [anyenumType],
    anyenumType,
    ({ parameters: [type] }) =>
      () =>
        end(type, labelsOf(type).at(-1)),
    lax,
  ),
];
