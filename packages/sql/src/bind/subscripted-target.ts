/**
 * Targets with subscripts in UPDATE and INSERT: `a[2] = x` gives the whole column the value that it had, with one part of it
 * another. Several parts of one column are set one after the other. Called by assignments.ts and bind-dml.ts.
 */
import type { A_Indices, Node } from 'libpg-query';
import type { ColumnDescriptor } from '../catalog/descriptor.ts';
import { assignElement, assignJson, assignSlice } from '../functions/array-assignment.ts';
import { typedSignature } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { int4Type, jsonbType, type SqlType, textType, unknownType } from '../types/type.ts';
import { type ArrayValue, emptyArray } from '../types/values.ts';
import type { Binder } from './binder.ts';
import { coerceToColumn, tryCoerce } from './coerce.ts';
import { constant, type Expression } from './expression.ts';

/** The column's value with what the subscripts name replaced. Throws 42804, 0A000. */
export function assignSubscripted(
  binder: Binder,
  column: ColumnDescriptor,
  before: Expression,
  steps: readonly Node[],
  given: { readonly value: Expression; readonly location: number | undefined },
): Expression {
  const { context } = binder;
  const { value, location } = given;
  const indices = steps.map((step): A_Indices => {
    if ('A_Indices' in step) return step.A_Indices;
    throw context.unsupported('field of a column as a target', value.location);
  });
  const { type } = column;
  if (type === jsonbType) return assignMember(binder, before, indices, value);
  const { element } = type;
  if (element === undefined)
    throw context.error(
      '42804',
      `cannot subscript type ${type.display} because it does not support subscripting`,
      location,
    );
  const slice = indices.some((one) => one.is_slice === true);
  const target: SqlType = slice ? type : element;
  const part = coerceToColumn(context, value, { ...column, type: target });
  const subscript = (node: Node | undefined): Expression => {
    if (node === undefined) return constant(int4Type, null);
    const bound = binder.bind(node);
    const cast = tryCoerce(context, bound, int4Type, 'assignment');
    if (cast !== undefined) return cast;
    throw context.error('42804', 'array subscript must have type integer', bound.location);
  };
  const open: boolean[] = [];
  const subscripts = indices.flatMap((one) => {
    if (!slice) return [subscript(one.uidx)];
    const single = one.is_slice !== true;
    open.push(!single && one.lidx === undefined, one.uidx === undefined);
    return [single ? constant(int4Type, 1) : subscript(one.lidx), subscript(one.uidx)];
  });
  const parameters = [type, target, ...subscripts.map(() => int4Type)];
  const signature = typedSignature(
    'assign_subscript',
    parameters,
    type,
    () =>
      ([array = null, given = null, ...at]) => {
        const old = (array ?? emptyArray) as ArrayValue;
        // A NULL slice leaves the array as it is.
        if (slice && given === null) return array;
        if (at.some((one, i) => one === null && open[i] !== true))
          throw new SqlError('22004', 'array subscript in assignment must not be null');
        if (!slice) return assignElement(old, at as readonly number[], given);
        const bounds = indices.map((_one, i) => ({
          lower: optional(at[i * 2]),
          upper: optional(at[i * 2 + 1]),
        }));
        return assignSlice(old, bounds, given as ArrayValue);
      },
    { strict: false },
  );
  return {
    kind: 'call',
    type,
    modifier: column.modifier,
    location: value.location,
    signature,
    arguments: [before, part, ...subscripts],
  };
}

function optional(value: Datum | undefined): number | undefined {
  return value === null || value === undefined ? undefined : (value as number);
}

function assignMember(
  binder: Binder,
  before: Expression,
  indices: readonly A_Indices[],
  value: Expression,
): Expression {
  const { context } = binder;
  const steps = indices.map((one): Expression => {
    if (one.is_slice === true)
      throw context.error('42804', 'jsonb subscript does not support slices', value.location);
    const bound = binder.bind(one.uidx);
    const number =
      bound.type === unknownType ? undefined : tryCoerce(context, bound, int4Type, 'implicit');
    const step = number ?? tryCoerce(context, bound, textType, 'implicit');
    if (step !== undefined) return step;
    throw context.error('42804', 'subscript type is not supported', bound.location, {
      hint: 'jsonb subscript must be coercible to either integer or text.',
    });
  });
  const part = tryCoerce(context, value, jsonbType, 'assignment');
  if (part === undefined)
    throw context.error(
      '42804',
      `subscripted assignment requires type jsonb but expression is of type ${value.type.display}`,
      value.location,
      { hint: 'You will need to rewrite or cast the expression.' },
    );
  const signature = typedSignature(
    'assign_member',
    [jsonbType, jsonbType, ...steps.map((one) => one.type)],
    jsonbType,
    () =>
      ([json = null, given = null, ...path]) => {
        if (path.includes(null))
          throw new SqlError('22004', 'jsonb subscript in assignment must not be null');
        return assignJson(json, path as readonly (string | number)[], given);
      },
    { strict: false },
  );
  return {
    kind: 'call',
    type: jsonbType,
    modifier: -1,
    location: value.location,
    signature,
    arguments: [before, part, ...steps],
  };
}
