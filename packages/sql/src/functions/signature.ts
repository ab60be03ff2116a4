/** The shape of functions and operators: what overload resolution and evaluation need to know of one. */
import type { CatalogAccess } from '../catalog/catalog-access.ts';
import type { SubqueryResults } from '../execute/subplan.ts';
import type { Datum } from '../session-api.ts';
import type { TextContext } from '../types/text-codec.ts';
import type { SqlType } from '../types/type.ts';

/** What an evaluation may see besides its arguments: constant for one run of a statement. */
export interface EvalContext extends TextContext {
  readonly parameters: readonly Datum[];
  readonly user: string;
  readonly database: string;
  /** When the statement began. `now` is when its transaction did. Microseconds since 2000. */
  readonly statementStart: bigint;
  /** The time now, whenever it is asked. */
  clockTime(): bigint;
  /** Undefined where an expression must not depend on the catalog. */
  readonly catalog: CatalogAccess | undefined;
  /** The value of a setting, as SHOW prints it. */
  setting(name: string): string | undefined;
  /** What the query around hands in, for a query inside an expression or LATERAL. */
  readonly arguments: readonly Datum[];
  /** The evaluation of the statement as a whole, which keeps the results of subqueries. */
  readonly root: EvalContext;
  subqueries: SubqueryResults | undefined;
}

/** Immutable: may be folded into a constant. Stable: one value for one run of a statement. Volatile: any at any time. */
export type Volatility = 'immutable' | 'stable' | 'volatile';

/** Absent arguments are null. Strict functions never see a NULL. */
export type Implementation = (a: Datum, b: Datum, c: Datum, context: EvalContext) => Datum;

export type ComparisonOperator = '=' | '<>' | '<' | '<=' | '>' | '>=';

/** The types of one call, polymorphic ones made concrete. */
export interface CallTypes {
  readonly parameters: readonly SqlType[];
  readonly result: SqlType;
}

/** As `Implementation`, for any number of arguments. */
export type GeneralImplementation = (values: readonly Datum[], context: EvalContext) => Datum;

export interface Signature {
  readonly name: string;
  readonly parameters: readonly SqlType[];
  readonly result: SqlType;
  readonly strict: boolean;
  readonly volatility: Volatility;
  readonly implementation: Implementation;
  /** In place of `implementation`: more than three arguments, or a way that depends on the types of the call. */
  readonly general?: (types: CallTypes) => GeneralImplementation;
  /** The last parameter may stand any number of times, once at least. */
  readonly variadic?: true;
  /** Set for the six comparisons, which planner and executor treat by themselves. */
  readonly comparison?: ComparisonOperator;
  /** PostgreSQL has it and we have not: it takes part in resolution and is refused if it wins. */
  readonly unsupported?: true;
}

export interface SignatureOptions {
  readonly strict?: boolean;
  readonly volatility?: Volatility;
}

export function signature(
  name: string,
  parameters: readonly SqlType[],
  result: SqlType,
  implementation: Implementation,
  options: SignatureOptions = {},
): Signature {
  return {
    name,
    parameters,
    result,
    implementation,
    strict: options.strict ?? true,
    volatility: options.volatility ?? 'immutable',
  };
}

const notCalled: Implementation = () => {
  throw new RangeError('is called by its general implementation');
};

/** A function of any number of arguments. */
export function manySignature(
  name: string,
  parameters: readonly SqlType[],
  result: SqlType,
  implementation: GeneralImplementation,
  options: SignatureOptions & { readonly variadic?: boolean } = {},
): Signature {
  return typedSignature(name, parameters, result, () => implementation, options);
}

/** A function whose way depends on the types of its call. */
export function typedSignature(
  name: string,
  parameters: readonly SqlType[],
  result: SqlType,
  general: (types: CallTypes) => GeneralImplementation,
  options: SignatureOptions & { readonly variadic?: boolean } = {},
): Signature {
  const plain = signature(name, parameters, result, notCalled, options);
  return { ...plain, general, ...(options.variadic === true ? { variadic: true } : {}) };
}

export function unsupportedSignature(
  name: string,
  parameters: readonly SqlType[],
  result: SqlType,
): Signature {
  const implementation = () => null;
  return { ...signature(name, parameters, result, implementation), unsupported: true };
}

/** Overloads by name. */
export function indexByName(signatures: readonly Signature[]): Map<string, Signature[]> {
  const index = new Map<string, Signature[]>();
  for (const one of signatures) {
    const overloads = index.get(one.name);
    if (overloads === undefined) index.set(one.name, [one]);
    else overloads.push(one);
  }
  return index;
}
