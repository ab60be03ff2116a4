/**
 * What a program makes of one row that is written where it lies: assignments, generated columns, NOT NULL and CHECK, and the
 * row's bytes; or that it goes. Whatever the executor would refuse makes nothing: it is then asked to say so itself.
 */
import type { Expression } from '../../bind/expression.ts';
import type { EvalContext } from '../../functions/signature.ts';
import type { Datum } from '../../session-api.ts';
import { RowCodec } from '../../storage/row-codec.ts';
import type { RowForm } from '../../types/codec.ts';
import { type Evaluator, evaluatorOf } from '../evaluate.ts';
import { listOf } from './expression-text.ts';

/** As the stores' own interface has it. */
export type ComputedValue =
  | { readonly kind: 'put'; readonly value: Uint8Array }
  | { readonly kind: 'delete' };

interface Placed {
  readonly place: number;
  readonly evaluate: Evaluator;
}

export interface NewRow {
  readonly kind: 'row';
  /** Of the columns in the row's value. Undefined: the row goes. */
  readonly codec: RowCodec | undefined;
  /** Of the row as it was. */
  readonly assignments: readonly Placed[];
  /** Of the row with the assignments. */
  readonly generated: readonly Placed[];
  readonly notNull: readonly number[];
  /** None of the new row is false. */
  readonly checks: readonly Evaluator[];
}

export interface ProgramScope {
  /** @param orNowhere it may be -1 */
  placeOf(json: unknown, orNowhere?: boolean): number;
  expression(json: unknown): Expression;
  formOf(json: unknown): RowForm;
}

/** @throws UnknownProgram */
export function newRowOf(text: Readonly<Record<string, unknown>>, scope: ProgramScope): NewRow {
  const placed = (json: unknown): Placed[] =>
    listOf(json).map((one) => {
      const [at, expression] = listOf(one);
      return { place: scope.placeOf(at), evaluate: evaluatorOf(scope.expression(expression)) };
    });
  const stored = text.stored === null ? undefined : listOf(text.stored);
  return {
    kind: 'row',
    codec: stored && new RowCodec(stored.map((one) => storedColumn(one, scope))),
    assignments: placed(text.assignments),
    generated: placed(text.generated),
    notNull: listOf(text.notNull).map((one) => scope.placeOf(one)),
    checks: listOf(text.checks).map((one) => evaluatorOf(scope.expression(one))),
  };
}

/** A column that is gone stays NULL in every row that is written. */
function storedColumn(json: unknown, scope: ProgramScope): RowCodec['stored'][number] {
  const [at, form] = listOf(json);
  return { index: scope.placeOf(at, true), form: scope.formOf(form), missing: null };
}

/** Undefined: the executor would refuse it. Throws what expressions throw. */
export function newValue(
  { codec, assignments, generated, notNull, checks }: NewRow,
  row: readonly Datum[],
  context: EvalContext,
): ComputedValue | undefined {
  if (codec === undefined) return { kind: 'delete' };
  const changed = [...row];
  for (const { place, evaluate } of assignments) changed[place] = evaluate(row, context);
  for (const { place, evaluate } of generated) changed[place] = evaluate(changed, context);
  if (notNull.some((place) => (changed[place] ?? null) === null)) return undefined;
  if (checks.some((check) => check(changed, context) === false)) return undefined;
  return { kind: 'put', value: codec.encode(changed) };
}
