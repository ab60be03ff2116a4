/** Programs over rows that no store has evaluated: run here, by the same code, with the session at hand. */
import type { Datum } from '../../session-api.ts';
import { type Run, withArguments } from '../run.ts';
import { ProgramCache } from './compile-program.ts';
import { type RunningProgram, startProgram } from './evaluate-program.ts';
import { type ProgramResult, type ResultShape, readResult } from './result.ts';

const cache = new ProgramCache();

export interface GivenRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** As the program shall count it. */
  readonly position: number;
}

export interface OwnResult extends ProgramResult {
  /** Position of the last row that is in it. */
  readonly last: number;
}

/** As answers of a store would come: each as large as the program wants it. */
export async function* evaluateHere(
  shape: ResultShape,
  run: Run,
  program: Uint8Array,
  rows: Iterable<GivenRow>,
): AsyncGenerator<OwnResult, void, undefined> {
  const context = (parameters: readonly Datum[]) => ({
    ...withArguments(run.evaluation, []),
    parameters,
  });
  let running: RunningProgram | undefined;
  let last = 0;
  const finished = (): OwnResult => {
    const evaluated = running?.finish();
    running = undefined;
    if (evaluated === undefined) throw new RangeError('a program runs where it was made');
    return { ...readResult(shape, evaluated), last };
  };
  let taken = 0;
  for (const { key, value, position } of rows) {
    running ??= startProgram(cache, program, context);
    last = position;
    if (!running.take(key, value, position)) yield finished();
    if ((++taken & 63) === 0 && run.pace.due()) await run.pace.rest();
  }
  if (running !== undefined) yield finished();
}
