/** Operators over bound operands: resolution, coercion, and the comparisons as expressions of their own. */
import { operators } from '../functions/operators.ts';
import { concreteTypes } from '../functions/polymorphic.ts';
import { resolveOperator } from '../functions/resolve.ts';
import { byteaType, jsonbType, type SqlType, textType, unknownType } from '../types/type.ts';
import { castTo, coerceImplicitly, ofBaseType } from './coerce.ts';
import type { BindContext } from './context.ts';
import { comparison, type Expression } from './expression.ts';
import { fold } from './fold.ts';

const undetermined = 'could not determine polymorphic type because input has type unknown';
const castHint =
  'No operator matches the given name and argument types. You might need to add explicit type casts.';

/** @param folded false where the caller needs the operator itself. Throws 42883, 42725, 0A000. */
export function bindOperator(
  context: BindContext,
  name: string,
  given: readonly Expression[],
  location: number | undefined,
  folded = true,
): Expression {
  const operands = given.map(ofBaseType);
  const types = operands.map((operand) => operand.type);
  const [array] = types.filter((type) => type.element !== undefined);
  if (name === '||' && array !== undefined && types.includes(unknownType)) {
    // What has no type yet beside an array is an array, too.
    const known = operands.map((one) =>
      one.type === unknownType ? coerceImplicitly(context, one, array) : one,
    );
    return bindOperator(context, name, known, location, folded);
  }
  if (name === '||' && concatenatesText(types))
    return bindConcatenation(context, operands, location);
  const overloads = operators.get(name);
  const resolution =
    overloads === undefined ? ({ kind: 'none' } as const) : resolveOperator(overloads, types);
  if (resolution.kind === 'ambiguous')
    throw context.error('42725', `operator is not unique: ${shown(name, types)}`, location, {
      hint: 'Could not choose a best candidate operator. You might need to add explicit type casts.',
    });
  if (resolution.kind === 'none')
    throw context.error('42883', `operator does not exist: ${shown(name, types)}`, location, {
      hint: castHint,
    });
  const { overload } = resolution;
  if (overload.unsupported === true)
    throw context.unsupported(`operator ${shown(name, overload.parameters)}`, location);
  const concrete = concreteTypes(resolution.parameters, overload.result, types);
  if (concrete === undefined || concrete === 'unknown')
    throw context.error('42804', undetermined, location);
  const coerced = operands.map((operand, i) =>
    coerceImplicitly(context, operand, concrete.parameters[i] ?? operand.type),
  );
  const [left, right] = coerced;
  let bound: Expression = {
    kind: 'call',
    type: concrete.result,
    modifier: -1,
    location,
    signature: overload,
    arguments: coerced,
  };
  if (overload.comparison !== undefined && left !== undefined && right !== undefined)
    bound = comparison(overload.comparison, left, right, location);
  return folded ? fold(context, bound) : bound;
}

/** Neither side an array, jsonb or bytea that the other side could be, too. */
function concatenatesText(types: readonly SqlType[]): boolean {
  if (types.some((type) => type.element !== undefined)) return false;
  return ![jsonbType, byteaType].some(
    (own) => types.includes(own) && types.every((type) => type === own || type === unknownType),
  );
}

/** `text || anything` prints the other side; two values that are no text have no `||`. */
function bindConcatenation(
  context: BindContext,
  operands: readonly Expression[],
  location: number | undefined,
): Expression {
  const types = operands.map((operand) => operand.type);
  const stringLike = types.map((type) => type.category === 'S' || type === unknownType);
  const overload = operators.get('||')?.find((one) => one.result === textType);
  if (overload === undefined || types.length !== 2 || !stringLike.includes(true))
    throw context.error('42883', `operator does not exist: ${shown('||', types)}`, location, {
      hint: castHint,
    });
  const texts = operands.map((operand) => castTo(context, operand, textType, -1, location));
  return fold(context, {
    kind: 'call',
    type: textType,
    modifier: -1,
    location,
    signature: overload,
    arguments: texts,
  });
}

function shown(name: string, types: readonly SqlType[]): string {
  const [left, right] = types.map((type) => type.display);
  return right === undefined ? `${name} ${left}` : `${left} ${name} ${right}`;
}
