/**
 * Domains: a type with conditions on its values. A value of a domain is one of its base type, and everything but the way into
 * it (bind/coerce.ts) treats it as such: it is stored, compared, printed and sent as the base type is. So are arrays of a domain, but for the oids of
 * the array type and of its elements, which clients see.
 */
import { arrayTypeOf, plainType, type SqlType } from './type.ts';

export interface DomainCheck {
  readonly oid: number;
  readonly name: string;
  /** Over VALUE, as the catalog keeps expressions. */
  readonly expression: string;
  /** Added NOT VALID, and not validated since: values that were there before may violate it. */
  readonly notValid?: true;
}

/** What a domain adds to the type it is over, which may be a domain as well. */
export interface Domain {
  readonly type: SqlType;
  readonly modifier: number;
  readonly notNull: boolean;
  readonly checks: readonly DomainCheck[];
}

export interface DomainFacts extends Domain {
  readonly oid: number;
  /** 0: there is none. */
  readonly arrayOid: number;
  readonly schema: string;
  readonly name: string;
  readonly display: string;
}

export function domainType(facts: DomainFacts): SqlType {
  const { oid, arrayOid, schema, name, display, type, modifier, notNull, checks } = facts;
  const { labels: _, ...base } = type;
  const domain = { type, modifier, notNull, checks };
  const own = { oid, arrayOid, schema, name, display, preferred: false, element: undefined };
  return { ...base, ...own, domain };
}

/** The type that values of a type are of: what a domain is over, of arrays of a domain arrays of that; others themselves. */
export function baseType(type: SqlType): SqlType {
  const plain = plainType(type);
  const { element } = plain;
  return element?.domain === undefined ? plain : (arrayTypeOf(baseType(element)) ?? plain);
}

/** Whether a value on its way into the type must be judged: a domain, or an array of one. */
export function isOfDomain(type: SqlType): boolean {
  return baseType(type) !== type;
}

/** The modifier of the base type's values. @param modifier of a type that is no domain */
export function baseModifier(type: SqlType, modifier: number): number {
  let [base, own] = [type, modifier];
  for (;;) {
    if (base.domain !== undefined) [base, own] = [base.domain.type, base.domain.modifier];
    else if (base.element?.domain !== undefined) base = base.element;
    else return own;
  }
}

/** Whether any value of the base type might not be one of the domain, or of arrays of it; false for other types. */
export function isConstrained(type: SqlType): boolean {
  const { domain, element } = type;
  if (domain === undefined) return element?.domain !== undefined && isConstrained(element);
  return domain.notNull || domain.checks.length > 0 || isConstrained(domain.type);
}
