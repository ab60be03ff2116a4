/**
 * Parameters that take several types: `anyelement` and its like must be one type in a whole call, `anycompatible` and its
 * like what CASE would settle on. As enforce_generic_type_consistency of parse_coerce.c. Pure.
 */
import { implicitlyCasts } from '../types/cast.ts';
import {
  anyarrayType,
  anycompatiblearrayType,
  anycompatibleType,
  anyelementType,
  anyenumType,
  anynonarrayType,
  arrayTypeOf,
  type SqlType,
  textType,
  unknownType,
} from '../types/type.ts';

const same: ReadonlySet<SqlType> = new Set([
  anyelementType,
  anyarrayType,
  anynonarrayType,
  anyenumType,
]);
const compatible: ReadonlySet<SqlType> = new Set([anycompatibleType, anycompatiblearrayType]);

export function isPolymorphic(type: SqlType): boolean {
  return same.has(type) || compatible.has(type);
}

function isArrayParameter(type: SqlType): boolean {
  return type === anyarrayType || type === anycompatiblearrayType;
}

/** Whether one argument could stand for a polymorphic parameter, whatever the others are. */
export function fitsPolymorphic(parameter: SqlType, argument: SqlType): boolean {
  if (argument === unknownType) return true;
  if (isArrayParameter(parameter)) return argument.element !== undefined;
  if (parameter === anynonarrayType) return argument.element === undefined;
  if (parameter === anyenumType) return argument.category === 'E';
  return true;
}

/** The type that several settle on; undefined where there is none. */
export function settleTypes(types: readonly SqlType[]): SqlType | undefined {
  let chosen: SqlType | undefined;
  for (const type of types) {
    if (type === unknownType || type === chosen) continue;
    if (chosen === undefined) chosen = type;
    else if (type.category !== chosen.category) return undefined;
    else if (!chosen.preferred && implicitlyCasts(chosen, type) && !implicitlyCasts(type, chosen))
      chosen = type;
  }
  return chosen;
}

export interface ConcreteTypes {
  readonly parameters: readonly SqlType[];
  readonly result: SqlType;
}

/**
 * The types of a call once its polymorphic parameters are known.
 * @returns undefined where the arguments do not go together; 'unknown' where nothing tells a type
 */
export function concreteTypes(
  parameters: readonly SqlType[],
  result: SqlType,
  argumentTypes: readonly SqlType[],
): ConcreteTypes | undefined | 'unknown' {
  if (!parameters.some(isPolymorphic)) return { parameters, result };
  const element = (group: ReadonlySet<SqlType>): readonly SqlType[] =>
    parameters.flatMap((parameter, i) => {
      const argument = argumentTypes[i] ?? unknownType;
      if (!group.has(parameter) || argument === unknownType) return [];
      return (isArrayParameter(parameter) ? argument.element : argument) ?? [];
    });
  const exact = element(same);
  const [first] = exact;
  if (exact.some((type) => type !== first)) return undefined;
  const loose = element(compatible);
  const common = settleTypes(loose);
  if (loose.length > 0 && common === undefined) return undefined;
  if (first === undefined && parameters.includes(anyenumType)) return undefined;
  const usesSame = parameters.some((type) => same.has(type));
  if (usesSame && first === undefined) return 'unknown';
  const settled = common ?? textType;
  const concrete = (type: SqlType, argument: SqlType | undefined): SqlType | undefined => {
    if (same.has(type)) {
      if (!isArrayParameter(type)) return first;
      if (argument?.element !== undefined && argument.element === first) return argument;
      return first === undefined ? undefined : arrayTypeOf(first);
    }
    if (!compatible.has(type)) return type;
    return isArrayParameter(type) ? arrayTypeOf(settled) : settled;
  };
  const concreteParameters = parameters.map((type, i) => concrete(type, argumentTypes[i]));
  const concreteResult = concrete(result, undefined);
  const known = concreteParameters.flatMap((type) => type ?? []);
  if (concreteResult === undefined || known.length < parameters.length) return undefined;
  return { parameters: known, result: concreteResult };
}
