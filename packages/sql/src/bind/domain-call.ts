/** What the way of a value into a domain is called where expressions are calls: binder, EXPLAIN and stored texts know it by that. */
import type { EvalContext } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';

export const domainCall = 'domain';

/** Throws 23502, 23514 for a value of the base type that is none of the domain. */
export type DomainJudge = (value: Datum, context: EvalContext) => void;
