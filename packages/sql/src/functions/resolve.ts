/**
 * Overload resolution as PostgreSQL's parse_func.c and parse_oper.c do it: exact match first, then the candidates that
 * implicit casts reach, then exact matches, preferred types and categories for untyped literals. `unknown` stands for an
 * argument whose type is still open. Pure.
 */
import { implicitlyCasts } from '../types/cast.ts';
import { anyType, isText, type SqlType, textType, unknownType } from '../types/type.ts';
import { concreteTypes, fitsPolymorphic, isPolymorphic } from './polymorphic.ts';

interface Overload {
  readonly parameters: readonly SqlType[];
  readonly variadic?: true;
}

/** An overload for a number of arguments. */
interface Candidate<T> {
  readonly overload: T;
  readonly parameters: readonly SqlType[];
}

export type Resolution<T> =
  | { readonly kind: 'found'; readonly overload: T; readonly parameters: readonly SqlType[] }
  | { readonly kind: 'none' }
  | { readonly kind: 'ambiguous' };

function accepts(parameter: SqlType, argument: SqlType): boolean {
  if (argument === unknownType || parameter === anyType || parameter === argument) return true;
  if (isPolymorphic(parameter)) return fitsPolymorphic(parameter, argument);
  return implicitlyCasts(argument, parameter);
}

/** Overloads that take this many arguments. */
function fitting<T extends Overload>(overloads: readonly T[], count: number): Candidate<T>[] {
  return overloads.flatMap((overload) => {
    const { parameters, variadic } = overload;
    if (parameters.length === count) return { overload, parameters };
    const last = parameters[parameters.length - 1];
    if (variadic !== true || parameters.length > count || last === undefined) return [];
    const more = new Array<SqlType>(count - parameters.length).fill(last);
    return { overload, parameters: [...parameters, ...more] };
  });
}

export function resolveFunction<T extends Overload>(
  overloads: readonly T[],
  argumentTypes: readonly SqlType[],
): Resolution<T> {
  const all = fitting(overloads, argumentTypes.length);
  const exact = all.find((one) =>
    one.parameters.every((type, i) => type === argumentTypes[i] || type === anyType),
  );
  if (exact !== undefined) return { kind: 'found', ...exact };
  return choose(all, argumentTypes);
}

/** A binary operator first tries an open operand as if it had the other one's type. */
export function resolveOperator<T extends Overload>(
  overloads: readonly T[],
  argumentTypes: readonly SqlType[],
): Resolution<T> {
  const all = fitting(overloads, argumentTypes.length);
  const [left, right] = argumentTypes;
  let guess = argumentTypes;
  if (left !== undefined && right !== undefined) {
    if (left === unknownType) guess = [right, right];
    else if (right === unknownType) guess = [left, left];
  }
  const exact = all.find((one) => one.parameters.every((type, i) => type === guess[i]));
  if (exact !== undefined && !guess.includes(unknownType)) return { kind: 'found', ...exact };
  return choose(all, argumentTypes);
}

function choose<T extends Overload>(
  all: readonly Candidate<T>[],
  argumentTypes: readonly SqlType[],
): Resolution<T> {
  let candidates = all.filter(
    (one) =>
      one.parameters.every((type, i) => accepts(type, argumentTypes[i] ?? unknownType)) &&
      concreteTypes(one.parameters, unknownType, argumentTypes) !== undefined,
  );
  const done = (): Resolution<T> | undefined => {
    const [first] = candidates;
    if (first === undefined) return { kind: 'none' };
    return candidates.length === 1 ? { kind: 'found', ...first } : undefined;
  };
  const known = argumentTypes.map((type) => (isText(type) ? textType : type));
  let result = done();
  if (result !== undefined) return result;
  candidates = best(
    candidates,
    (type, i) => argumentTypes[i] !== unknownType && type === argumentTypes[i],
  );
  result = done();
  if (result !== undefined) return result;
  candidates = best(candidates, (type, i) => {
    const argument = argumentTypes[i] ?? unknownType;
    if (argument === unknownType) return false;
    return type === argument || (type.preferred && type.category === argument.category);
  });
  result = done();
  if (result !== undefined) return result;
  if (!argumentTypes.includes(unknownType)) return { kind: 'ambiguous' };
  const narrowed = byCategory(candidates, argumentTypes);
  if (narrowed !== undefined) {
    candidates = narrowed;
    result = done();
    if (result !== undefined && result.kind === 'found') return result;
  }
  const typed = new Set(known.filter((type) => type !== unknownType));
  const [only] = typed;
  if (typed.size === 1 && only !== undefined) {
    const last = candidates.filter((one) => one.parameters.every((type) => accepts(type, only)));
    const [winner] = last;
    if (last.length === 1 && winner !== undefined) return { kind: 'found', ...winner };
  }
  return { kind: 'ambiguous' };
}

/** The overloads with the most matching positions; all of them if none has any. */
function best<T>(
  candidates: readonly Candidate<T>[],
  matches: (type: SqlType, index: number) => boolean,
): Candidate<T>[] {
  const scores = candidates.map((one) => one.parameters.filter(matches).length);
  const most = Math.max(0, ...scores);
  return candidates.filter((_one, i) => scores[i] === most);
}

/** For each open position: the string category if any candidate takes it, else the one all agree on. */
function byCategory<T>(
  candidates: readonly Candidate<T>[],
  argumentTypes: readonly SqlType[],
): Candidate<T>[] | undefined {
  let kept: Candidate<T>[] = [...candidates];
  for (let i = 0; i < argumentTypes.length; i++) {
    if (argumentTypes[i] !== unknownType) continue;
    const types = candidates.map((one) => one.parameters[i] ?? unknownType);
    const category = types.some((type) => type.category === 'S')
      ? 'S'
      : types.every((type) => type.category === types[0]?.category)
        ? types[0]?.category
        : undefined;
    if (category === undefined) return undefined;
    const wantsPreferred = types.some((type) => type.category === category && type.preferred);
    kept = kept.filter((one) => {
      const type = one.parameters[i];
      return type?.category === category && (!wantsPreferred || type.preferred);
    });
  }
  return kept.length > 0 ? kept : undefined;
}
