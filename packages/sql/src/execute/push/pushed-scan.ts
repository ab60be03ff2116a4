/**
 * A scan whose rows are evaluated at the stores: made with the plan, run like a scan. Rows that no store has evaluated are
 * evaluated here, by the same program. What cannot be sent for a run — a value that cannot be computed beforehand, a program
 * that grew too large — is not: the caller reads rows then.
 */
import type { Span } from '@flotilla/base';
import type { EvaluatedPart } from '../../kv-transaction.ts';
import type { TableScan } from '../../plan/plan.ts';
import { keySpans } from '../key-spans.ts';
import { evaluateOnce } from '../operator.ts';
import type { Run } from '../run.ts';
import { evaluateHere } from './evaluate-here.ts';
import { type PlannedProgram, programOfRun } from './planned-program.ts';
import { type ProgramResult, type ResultShape, readResult } from './result.ts';

export interface PushedProgram extends PlannedProgram {
  readonly scan: TableScan;
  /** Of a result's rows: columns in their places, others NULL. */
  readonly result: ResultShape;
}

export interface PushedRun {
  /** Rows that are enough; undefined: all. */
  readonly limit: number | undefined;
  /** The consumer may well stop early: ranges are asked one after the other. */
  readonly inTurn: boolean;
  /** A filter of keys, if the program has a place for one. */
  readonly keys?: Uint8Array | undefined;
  /** What is left of the scan, in its order. Default: all of it. */
  readonly spans?: readonly Span[];
}

/** Results in scan order. Undefined: this run cannot be pushed. */
export async function openPushed(
  program: PushedProgram,
  run: Run,
  { limit, inTurn, keys, spans: left }: PushedRun,
): Promise<AsyncGenerator<ProgramResult, void, undefined> | undefined> {
  const { scan } = program;
  const bytes = await programOfRun(program, run, { limit, keys });
  if (bytes === undefined) return undefined;
  const spans = left ?? (await evaluateOnce(run, () => keySpans(scan, run.evaluation)));
  const { signal } = run.pace;
  const parts = run.transaction.evaluate(spans, bytes, {
    reverse: scan.reverse,
    ...(inTurn ? { ahead: 1 } : {}),
    ...(signal === undefined ? {} : { signal }),
  });
  return parts && resultsOf(program, run, parts, bytes);
}

async function* resultsOf(
  { result: shape }: PushedProgram,
  run: Run,
  parts: AsyncIterable<EvaluatedPart>,
  bytes: Uint8Array,
): AsyncGenerator<ProgramResult, void, undefined> {
  for await (const { result, pairs } of parts) {
    run.pace.check();
    if (run.pace.due()) await run.pace.rest();
    if (result !== undefined) {
      const read = readResult(shape, result);
      run.recorder?.received(read.rows.length);
      yield read;
      continue;
    }
    const rows = pairs.map(({ key, value }, position) => ({ key, value, position }));
    yield* evaluateHere(shape, run, bytes, rows);
  }
}
