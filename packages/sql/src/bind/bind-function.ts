/** Function calls: ordinary functions, aggregates, and the few that take arguments of any type. */
import type { FuncCall } from 'libpg-query';
import { flotillaSchema } from '../catalog/snapshot.ts';
import { aggregates, foreignAggregates } from '../functions/aggregates.ts';
import { flotillaFunctions } from '../functions/flotilla.ts';
import { concreteTypes } from '../functions/polymorphic.ts';
import { resolveFunction } from '../functions/resolve.ts';
import { foreignFunctions, scalarFunctions } from '../functions/scalar.ts';
import { setFunctionNamed } from '../functions/set-functions.ts';
import type { Signature } from '../functions/signature.ts';
import { concatSignatures, spreadSignature } from '../functions/variadic.ts';
import { windowFunctions } from '../functions/windows.ts';
import type { SqlError } from '../sql-error.ts';
import { anyType, recordType, type SqlType, textType, unknownType } from '../types/type.ts';
import { nameParts, refuseOthers } from './ast.ts';
import { bindAggregate, bindWindowCall, resolveLiteral } from './bind-aggregate.ts';
import { bindSetFunction } from './bind-set-function.ts';
import type { Binder } from './binder.ts';
import { castTo, coerceImplicitly, tryCoerce } from './coerce.ts';
import type { BindContext } from './context.ts';
import type { Expression } from './expression.ts';
import { fold } from './fold.ts';
import { positionalArguments } from './named-arguments.ts';

const built = [
  'funcname',
  'args',
  'agg_star',
  'agg_distinct',
  'agg_order',
  'agg_filter',
  'agg_within_group',
  'over',
  'funcformat',
  'func_variadic',
  'location',
];

/** Throws 42883, 42725, 42803, 0A000. */
export function bindFunction(binder: Binder, call: FuncCall): Expression {
  const { context } = binder;
  const { location } = call;
  const parts = nameParts(call.funcname);
  const name = parts[parts.length - 1] ?? '';
  refuseOthers(context, call, built, {}, location);
  const variadic = call.func_variadic === true;
  const inCatalog = parts.length === 1 || parts[0] === 'pg_catalog';
  const scalar = call.over === undefined && !aggregates.has(name) && !windowFunctions.has(name);
  if (variadic && !(scalar && setFunctionNamed(parts) === undefined))
    throw context.unsupported('VARIADIC', location);
  if (inCatalog && call.over !== undefined) return bindWindowCall(binder, call, name);
  if (inCatalog && aggregates.has(name)) return bindAggregate(binder, call, name);
  if (inCatalog && windowFunctions.has(name)) {
    if (call.agg_within_group === true)
      throw context.unsupported(`hypothetical-set aggregate ${name}`, location);
    throw context.error('42809', `window function ${name} requires an OVER clause`, location);
  }
  if (setFunctionNamed(parts) !== undefined) {
    refuseAggregateClauses(context, call, name);
    return bindSetFunction(binder, call, name);
  }
  const bound = positionalArguments(context, call, name).map((argument) =>
    name === 'pg_typeof' ? binder.bindAsIs(argument) : binder.bind(argument),
  );
  const ours = parts.length === 2 && parts[0] === flotillaSchema;
  if (!inCatalog && !ours) throw noFunction(context, parts.join('.'), bound, location);
  if (call.agg_star === true) throw noFunction(context, name, [], location);
  if (aggregateClause(call) !== undefined) {
    const missing = noFunction(context, name, bound, location);
    if (!(ours ? flotillaFunctions : scalarFunctions).has(name)) throw missing;
    refuseAggregateClauses(context, call, name);
  }
  const overloads = (ours ? flotillaFunctions : scalarFunctions).get(name);
  if (variadic) {
    const own = !ours && isConcat(name) ? concatSignatures.get(name) : overloads;
    return bindVariadic(
      context,
      { name, written: parts.join('.'), overloads: own },
      bound,
      location,
    );
  }
  if (!ours && isConcat(name)) return bindConcat(context, name, bound, location);
  return bindScalar(context, { name, written: parts.join('.'), overloads }, bound, location);
}

function isConcat(name: string): boolean {
  return name === 'concat' || name === 'concat_ws';
}

interface Called {
  readonly name: string;
  /** As the statement has it, for messages. */
  readonly written: string;
  readonly overloads: readonly Signature[] | undefined;
}

/** `f(…, VARIADIC array)`: the array's elements are the last arguments. Throws 42804, 42883, 42725. */
function bindVariadic(
  context: BindContext,
  called: Called,
  bound: readonly Expression[],
  location: number | undefined,
): Expression {
  const last = bound[bound.length - 1];
  const array = last?.type ?? unknownType;
  const takers = (called.overloads ?? []).filter(
    (one) => one.variadic === true && one.parameters.length === bound.length,
  );
  const takesAny = takers.some((one) => one.parameters[bound.length - 1] === anyType);
  if (takesAny && (array.element === undefined || array.category !== 'A'))
    throw context.error('42804', 'VARIADIC argument must be an array', last?.location);
  const overloads = takers.flatMap((one) => spreadSignature(one, array) ?? []);
  return bindScalar(context, { ...called, overloads }, bound, location);
}

/** What only a call of an aggregate may have. */
function aggregateClause(call: FuncCall): string | undefined {
  if (call.agg_distinct === true) return 'DISTINCT';
  if (call.agg_within_group === true) return 'WITHIN GROUP';
  if ((call.agg_order ?? []).length > 0) return 'ORDER BY';
  return call.agg_filter === undefined ? undefined : 'FILTER';
}

/** Throws 42809. */
function refuseAggregateClauses(context: BindContext, call: FuncCall, name: string): void {
  const misplaced = aggregateClause(call);
  if (misplaced !== undefined)
    throw context.error(
      '42809',
      `${misplaced} specified, but ${name} is not an aggregate function`,
      call.location,
    );
}

/** `x.f` and `(x).f` where x has no column f: f(x), or x as an f. Undefined: there is none such. */
export function bindAttributeCall(
  context: BindContext,
  name: string,
  argument: Expression,
  location: number | undefined,
): Expression | undefined {
  const overloads = scalarFunctions.get(name);
  const found = overloads === undefined ? 'none' : resolveFunction(overloads, [argument.type]).kind;
  if (found === 'found')
    return bindScalar(context, { name, written: name, overloads }, [argument], location);
  const type = context.findType(undefined, name);
  if (found === 'ambiguous' || (argument.type === recordType && type?.category === 'S'))
    return undefined;
  return functionStyleCast(context, name, [argument], location);
}

function bindScalar(
  context: BindContext,
  called: Called,
  bound: readonly Expression[],
  location: number | undefined,
): Expression {
  const { name, written, overloads } = called;
  const types = bound.map((one) => one.type);
  const resolution =
    overloads === undefined ? ({ kind: 'none' } as const) : resolveFunction(overloads, types);
  if (resolution.kind === 'ambiguous')
    throw context.error('42725', `function ${shownCall(written, types)} is not unique`, location, {
      hint: 'Could not choose a best candidate function. You might need to add explicit type casts.',
    });
  if (resolution.kind === 'none') {
    const cast = functionStyleCast(context, name, bound, location);
    if (cast !== undefined) return cast;
    throw noFunction(context, written, bound, location);
  }
  const { overload } = resolution;
  if (overload.unsupported === true)
    throw context.unsupported(`function ${shownCall(name, overload.parameters)}`, location);
  const concrete = concreteTypes(resolution.parameters, overload.result, types);
  if (concrete === undefined) throw noFunction(context, written, bound, location);
  if (concrete === 'unknown')
    throw context.error(
      '42804',
      'could not determine polymorphic type because input has type unknown',
      location,
    );
  return fold(context, {
    kind: 'call',
    type: concrete.result,
    modifier: -1,
    location,
    signature: overload,
    arguments: bound.map((one, i) => {
      const parameter = concrete.parameters[i] ?? one.type;
      if (parameter === anyType) return one;
      return coerceImplicitly(context, one, parameter);
    }),
  });
}

/** `int4('7')`: a type's name called as a function of one argument. */
function functionStyleCast(
  context: BindContext,
  name: string,
  bound: readonly Expression[],
  location: number | undefined,
): Expression | undefined {
  const type = context.findType(undefined, name);
  const [only] = bound;
  if (type?.supported !== true || only === undefined || bound.length !== 1) return undefined;
  if (type === unknownType || type.category === 'P') return undefined;
  return castTo(context, only, type, -1, location);
}

function bindConcat(
  context: BindContext,
  name: string,
  bound: readonly Expression[],
  location: number | undefined,
): Expression {
  const withSeparator = name === 'concat_ws';
  if (bound.length < (withSeparator ? 2 : 1)) throw noFunction(context, name, bound, location);
  const texts = bound.map((one, i) => {
    if (withSeparator && i === 0) {
      const separator = tryCoerce(context, one, textType, 'implicit');
      if (separator === undefined) throw noFunction(context, name, bound, location);
      return separator;
    }
    return resolveLiteral(context, one);
  });
  return {
    kind: 'concat',
    type: textType,
    modifier: -1,
    location,
    withSeparator,
    arguments: texts,
  };
}

export function noFunction(
  context: BindContext,
  name: string,
  bound: readonly Expression[],
  location: number | undefined,
): SqlError {
  const bare = name.replace(/^pg_catalog\./, '');
  if (foreignFunctions.has(bare)) return context.unsupported(`function ${bare}`, location);
  if (foreignAggregates.has(bare)) return context.unsupported(`aggregate ${bare}`, location);
  const types = bound.map((one) => one.type);
  return context.error('42883', `function ${shownCall(name, types)} does not exist`, location, {
    hint: 'No function matches the given name and argument types. You might need to add explicit type casts.',
  });
}

export function shownCall(name: string, types: readonly SqlType[]): string {
  return `${name}(${types.map((type) => type.display).join(', ')})`;
}
