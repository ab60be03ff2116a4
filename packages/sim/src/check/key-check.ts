/**
 * Is what clients saw of one key what a single copy would have shown? Takes out what a checker cannot use before it
 * searches: a write of unknown outcome that nobody saw, whose return is never; one that somebody saw returned at the
 * latest when the first who saw it did.
 */
import { checkLinearizable, type Model } from '@flotilla/client/testing';
import { SimFailure } from '../failure.ts';
import type {
  KeyHistory,
  KeyInput,
  KeyOperation,
  KeyOutput,
  Value,
} from '../workload/key-history.ts';

interface ResolvedCas {
  readonly kind: 'cas';
  readonly applied: boolean;
  /** Undefined: not known. */
  readonly found?: { readonly value: Value };
}
type ResolvedOutput = Exclude<KeyOutput, { readonly kind: 'cas' }> | ResolvedCas;

const keyModel: Model<Value, KeyInput, ResolvedOutput> = {
  initial: undefined,
  step(state, input, output) {
    switch (input.kind) {
      case 'read':
        return output === undefined || (output.kind === 'value' && output.value === state)
          ? { state }
          : undefined;
      case 'write':
        return { state: input.value };
      case 'cas': {
        const applies = state === input.expected;
        if (output?.kind === 'cas') {
          if (output.applied !== applies) return undefined;
          if (output.found !== undefined && output.found.value !== state) return undefined;
        }
        return { state: applies ? input.value : state };
      }
    }
  },
  fingerprint: (state) => (state === undefined ? '-' : `=${state}`),
};

/** Throws SimFailure. @returns how many operations were judged */
export function checkKey(key: string, history: KeyHistory): number {
  const operations = history.operations.map((operation) => resolve(operation, history));
  const firstSeen = firstSeenAt(operations);
  const guessed = operations.some(
    ({ result }) =>
      result.kind === 'ok' &&
      result.output.kind === 'cas' &&
      !result.output.applied &&
      result.output.found === undefined,
  );
  const judged = operations.flatMap((operation): Resolved[] => {
    const { input, result } = operation;
    if (result.kind === 'ok') return [operation];
    if (input.kind === 'read') return [];
    if (input.value === undefined) return [operation];
    const seenAt = firstSeen.get(input.value);
    if (seenAt === undefined) return guessed ? [operation] : [];
    const output: ResolvedOutput =
      input.kind === 'cas' ? { kind: 'cas', applied: true } : { kind: 'written' };
    return [{ ...operation, result: { kind: 'ok', output, returnedAt: seenAt } }];
  });
  const verdict = checkLinearizable(keyModel, judged);
  if (verdict.kind === 'ok') return judged.length;
  throw new SimFailure(
    verdict.kind === 'unknown' ? 'undecided' : 'linearizability',
    `${key}: ${verdict.message}`,
  );
}

interface Resolved extends Omit<KeyOperation, 'result'> {
  readonly result:
    | { readonly kind: 'ok'; readonly output: ResolvedOutput; readonly returnedAt: number }
    | { readonly kind: 'unknown' };
}

function resolve(operation: KeyOperation, history: KeyHistory): Resolved {
  const { result } = operation;
  if (result.kind !== 'ok' || result.output.kind !== 'cas')
    return { ...operation, result } as Resolved;
  const { applied, foundTimestamp } = result.output;
  const found = applied ? undefined : history.known(foundTimestamp);
  const output: ResolvedCas =
    found === undefined ? { kind: 'cas', applied } : { kind: 'cas', applied, found };
  return { ...operation, result: { ...result, output } };
}

/** When the first who saw a value, as read, as condition that held or as what was found, had returned. */
function firstSeenAt(operations: readonly Resolved[]): Map<string, number> {
  const seen = new Map<string, number>();
  const note = (value: Value, at: number): void => {
    if (value !== undefined) seen.set(value, Math.min(at, seen.get(value) ?? at));
  };
  for (const { input, result } of operations) {
    if (result.kind !== 'ok') continue;
    const { output, returnedAt } = result;
    if (output.kind === 'value') note(output.value, returnedAt);
    if (output.kind !== 'cas') continue;
    if (input.kind === 'cas' && output.applied) note(input.expected, returnedAt);
    if (output.found !== undefined) note(output.found.value, returnedAt);
  }
  return seen;
}
