/**
 * Assertions that stay on in production. A failed assertion is a bug of ours: it is never caught and resumed; the
 * composition root logs it and ends the process with `ExitCode.invariantViolation`.
 */

/** A broken invariant. Carries the facts that the assertion was given. Never thrown for bad input from outside. */
export class InvariantViolation extends Error {
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(what: string, facts: Readonly<Record<string, unknown>> = {}) {
    super(`invariant violated: ${what} ${safeJson(facts)}`);
    this.name = 'InvariantViolation';
    this.facts = facts;
  }
}

/** Throws InvariantViolation unless `condition` holds. State the invariant in positive form. */
export function assert(
  condition: boolean,
  what: string,
  facts?: Readonly<Record<string, unknown>>,
): asserts condition {
  if (!condition) throw new InvariantViolation(what, facts);
}

/** Ends an exhaustive `switch` over a `kind` union: a missing case fails to compile and, if reached, throws. */
export function assertNever(value: never, what = 'case is handled'): never {
  throw new InvariantViolation(what, { value });
}

/** Returns `value`, which must be there. For look-ups whose presence is an invariant. */
export function present<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new InvariantViolation(`${what} is present`);
  return value;
}

function safeJson(facts: Readonly<Record<string, unknown>>): string {
  try {
    return JSON.stringify(facts, (_key, value: unknown) =>
      typeof value === 'bigint' ? value.toString() : value,
    );
  } catch {
    return '{unprintable facts}';
  }
}
