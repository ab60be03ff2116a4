/** Type coercion of bound expressions, in the three contexts of PostgreSQL's parse_coerce.c. */

import { typedSignature } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { type CastContext, castAllowed, findCast, implicitlyCasts } from '../types/cast.ts';
import { baseModifier, baseType, isOfDomain } from '../types/domain.ts';
import { parseText } from '../types/text-codec.ts';
import {
  anyType,
  boolType,
  displayType,
  isText,
  type SqlType,
  textType,
  unknownType,
} from '../types/type.ts';
import type { BindContext } from './context.ts';
import { domainCall } from './domain-call.ts';
import { constant, type Expression } from './expression.ts';
import { startOf } from './expression-tree.ts';
import { fold } from './fold.ts';

/** The expression as a value of `target`, or undefined where no cast of this context leads there. */
export function tryCoerce(
  context: BindContext,
  expression: Expression,
  target: SqlType,
  how: CastContext,
  modifier = -1,
): Expression | undefined {
  if (isOfDomain(target)) {
    if (expression.type === target) return expression;
    const value = tryCoerce(context, expression, baseType(target), how, baseModifier(target, -1));
    return value === undefined ? undefined : intoDomain(context, value, target);
  }
  const cast = coerceType(context, ofBaseType(expression), target, how, modifier);
  return cast === undefined ? undefined : coerceLength(context, cast, modifier, how);
}

/** The same value by the type that a domain is over, which is how everything computes with it. */
export function ofBaseType(expression: Expression): Expression {
  const { type, modifier } = expression;
  const base = baseType(type);
  if (base === type) return expression;
  return { ...expression, type: base, modifier: baseModifier(type, modifier) };
}

/** A value of what a domain is over, or an array of such, checked. Its evaluation throws 23502, 23514. */
function intoDomain(context: BindContext, value: Expression, target: SqlType): Expression {
  const signature = typedSignature(
    domainCall,
    [value.type],
    target,
    () => {
      const judge = context.judgeOf(target);
      return ([one = null], evaluation) => {
        judge(one, evaluation);
        return one;
      };
    },
    { strict: false, volatility: 'stable' },
  );
  const { location } = value;
  return { kind: 'call', type: target, modifier: -1, location, signature, arguments: [value] };
}

function coerceType(
  context: BindContext,
  expression: Expression,
  target: SqlType,
  how: CastContext,
  modifier: number,
): Expression | undefined {
  const { type: from, location } = expression;
  if (from === target || target === anyType) return expression;
  if (from === unknownType) {
    if (expression.kind === 'constant')
      return constant(
        target,
        literal(context, expression.value, { type: target, modifier }, location),
        location,
      );
    if (expression.kind === 'parameter') {
      context.inferParameter(expression.index + 1, target, location);
      return { ...expression, type: target };
    }
    return undefined;
  }
  const cast = findCast(from, target);
  if (cast === undefined || !castAllowed(cast, how)) return undefined;
  return fold(context, {
    kind: 'cast',
    type: target,
    modifier: -1,
    location,
    cast,
    argument: expression,
  });
}

/** An untyped literal takes its meaning from the type that is wanted. */
function literal(
  context: BindContext,
  value: Datum,
  target: { readonly type: SqlType; readonly modifier: number },
  location: number | undefined,
): Datum {
  if (value === null) return null;
  try {
    return parseText(target.type, value as string, context.evaluation, target.modifier);
  } catch (error) {
    if (error instanceof SqlError)
      throw context.error(error.code, error.message, location, error.fields);
    throw error;
  }
}

function coerceLength(
  context: BindContext,
  expression: Expression,
  modifier: number,
  how: CastContext,
): Expression {
  const { type, location } = expression;
  if (type.codec?.modifier === undefined || modifier < 0 || expression.modifier === modifier)
    return expression;
  const explicit = how === 'explicit';
  return fold(context, {
    kind: 'length',
    type,
    modifier,
    location,
    explicit,
    argument: expression,
  });
}

/** `CAST(x AS type)`. Throws 42846. */
export function castTo(
  context: BindContext,
  expression: Expression,
  target: SqlType,
  modifier: number,
  location: number | undefined,
): Expression {
  const cast = tryCoerce(context, expression, target, 'explicit', modifier);
  if (cast !== undefined) return cast;
  throw context.error(
    '42846',
    `cannot cast type ${expression.type.display} to ${target.display}`,
    location,
  );
}

/** As `tryCoerce` in implicit context, where resolution has already said that it works. */
export function coerceImplicitly(
  context: BindContext,
  expression: Expression,
  target: SqlType,
): Expression {
  const cast = tryCoerce(context, expression, target, 'implicit');
  if (cast !== undefined) return cast;
  throw context.error(
    '42846',
    `cannot cast type ${expression.type.display} to ${target.display}`,
    startOf(expression),
  );
}

export interface AssignmentTarget {
  readonly name: string;
  readonly type: SqlType;
  readonly modifier: number;
}

/** A value on its way into a column. Throws 42804. */
export function coerceToColumn(
  context: BindContext,
  expression: Expression,
  column: AssignmentTarget,
): Expression {
  const cast = tryCoerce(context, expression, column.type, 'assignment', column.modifier);
  if (cast !== undefined) return cast;
  throw context.error(
    '42804',
    `column "${column.name}" is of type ${displayType(column.type, -1)} but expression is of type ${expression.type.display}`,
    startOf(expression),
    { hint: 'You will need to rewrite or cast the expression.' },
  );
}

/** @param construct `WHERE`, `AND`, `CASE/WHEN`, … Throws 42804. */
export function coerceToBoolean(
  context: BindContext,
  expression: Expression,
  construct: string,
): Expression {
  const cast = tryCoerce(context, expression, boolType, 'assignment');
  if (cast !== undefined) return cast;
  throw context.error(
    '42804',
    `argument of ${construct} must be type boolean, not type ${expression.type.display}`,
    startOf(expression),
  );
}

/** What an expression of still unknown type becomes where nothing says otherwise: text. */
export function resolveUnknown(context: BindContext, expression: Expression): Expression {
  return expression.type === unknownType
    ? coerceImplicitly(context, expression, textType)
    : expression;
}

/** The type that CASE, COALESCE, VALUES, … settle on; undefined where there is none. Source: select_common_type. */
export function commonType(expressions: readonly Expression[]): SqlType | undefined {
  return settle(expressions).type;
}

/** As `commonType`. Throws 42804. */
export function requireCommonType(
  context: BindContext,
  expressions: readonly Expression[],
  construct: string,
): SqlType {
  const { type, clash } = settle(expressions);
  if (type !== undefined) return type;
  throw context.error(
    '42804',
    `${construct} types ${clash?.first.display} and ${clash?.second.type.display} cannot be matched`,
    clash === undefined ? undefined : startOf(clash.second),
  );
}

interface Settled {
  readonly type: SqlType | undefined;
  readonly clash?: { readonly first: SqlType; readonly second: Expression };
}

function settle(expressions: readonly Expression[]): Settled {
  const [first] = expressions;
  if (first !== undefined && expressions.every((one) => one.type === first.type))
    return { type: first.type === unknownType ? textType : first.type };
  let chosen = unknownType;
  for (const expression of expressions) {
    const type = baseType(expression.type);
    if (type === unknownType || type === chosen) continue;
    if (chosen === unknownType) chosen = type;
    else if (type.category !== chosen.category)
      return { type: undefined, clash: { first: chosen, second: expression } };
    else if (!chosen.preferred && implicitlyCasts(chosen, type) && !implicitlyCasts(type, chosen))
      chosen = type;
  }
  return { type: chosen === unknownType ? textType : chosen };
}

/** Coerces to what `requireCommonType` chose. Throws 42846. */
export function coerceToCommon(
  context: BindContext,
  expression: Expression,
  type: SqlType,
  construct: string,
): Expression {
  const cast = tryCoerce(context, expression, type, 'implicit');
  if (cast !== undefined) return cast;
  throw context.error(
    '42846',
    `${construct} could not convert type ${expression.type.display} to ${type.display}`,
    startOf(expression),
  );
}

/** varchar and name compare as text. */
export function comparableType(type: SqlType): SqlType {
  return isText(type) ? textType : type;
}
