/** The checkers against brute force: every order of the operations that time allows, tried one by one. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { checkLinearizable } from './linearizability.ts';
import {
  checkRegisterZones,
  type RegisterInput,
  type RegisterOperation,
  type RegisterOutput,
  registerModel,
} from './register.ts';

function bruteForce(history: readonly RegisterOperation[]): boolean {
  const returnOf = (operation: RegisterOperation): number =>
    operation.result.kind === 'ok' ? operation.result.returnedAt : Number.POSITIVE_INFINITY;
  const search = (left: readonly RegisterOperation[], state: string | undefined): boolean => {
    if (left.every((operation) => operation.result.kind === 'unknown')) return true;
    return left.some((operation, index) => {
      // Nothing that is left may have returned before this one was called.
      if (left.some((other) => returnOf(other) < operation.calledAt)) return false;
      const output = operation.result.kind === 'ok' ? operation.result.output : undefined;
      const after = registerModel.step(state, operation.input, output);
      return after !== undefined && search(left.toSpliced(index, 1), after.state);
    });
  };
  return search(history, undefined);
}

interface Draw {
  readonly kind: 'read' | 'write' | 'cas';
  readonly calledAt: number;
  readonly lasts: number;
  readonly unknown: boolean;
  readonly seen: number;
  readonly applied: boolean;
}

function draws(kinds: readonly Draw['kind'][]): fc.Arbitrary<Draw[]> {
  return fc.array(
    fc.record({
      kind: fc.constantFrom(...kinds),
      calledAt: fc.nat(12),
      lasts: fc.nat(6),
      unknown: fc.nat(5).map((n) => n === 0),
      seen: fc.nat(6),
      applied: fc.boolean(),
    }),
    { minLength: 1, maxLength: 7 },
  );
}

/** Written values are v0, v1, … by position; what is read or expected is one of them, or absent. */
function historyOf(drawn: readonly Draw[]): RegisterOperation[] {
  const written = drawn.flatMap((draw, index) => (draw.kind === 'read' ? [] : [`v${index}`]));
  return drawn.map((draw, index) => {
    const seen = written[draw.seen];
    const input: RegisterInput =
      draw.kind === 'read'
        ? { kind: 'read' }
        : draw.kind === 'write'
          ? { kind: 'write', value: `v${index}` }
          : { kind: 'cas', expected: seen, value: `v${index}` };
    const output: RegisterOutput =
      draw.kind === 'read'
        ? { kind: 'value', value: seen }
        : draw.kind === 'write'
          ? { kind: 'written' }
          : { kind: 'cas', applied: draw.applied };
    return {
      process: `p${index}`,
      input,
      calledAt: draw.calledAt,
      result: draw.unknown
        ? { kind: 'unknown' }
        : { kind: 'ok', output, returnedAt: draw.calledAt + draw.lasts },
    };
  });
}

function compare(
  kinds: readonly Draw['kind'][],
  check: (history: RegisterOperation[]) => { readonly kind: string },
): { legal: number; illegal: number } {
  const counts = { legal: 0, illegal: 0 };
  fc.assert(
    fc.property(draws(kinds), (drawn) => {
      const history = historyOf(drawn);
      const legal = bruteForce(history);
      counts[legal ? 'legal' : 'illegal']++;
      expect(check(history).kind).toBe(legal ? 'ok' : 'violation');
    }),
    { numRuns: 4000 },
  );
  return counts;
}

it('the search agrees with brute force on reads, writes and conditional writes', () => {
  const counts = compare(['read', 'read', 'write', 'cas'], (history) =>
    checkLinearizable(registerModel, history),
  );
  expect(Math.min(counts.legal, counts.illegal)).toBeGreaterThan(400);
});

it('zones agree with brute force on reads and writes', () => {
  const counts = compare(['read', 'write'], checkRegisterZones);
  expect(Math.min(counts.legal, counts.illegal)).toBeGreaterThan(400);
});
