/**
 * A scan whose rows are evaluated at the stores: made with the plan, run like a scan. Rows that no store has evaluated are
 * evaluated here, by the same program. What cannot be sent for a run — a value that cannot be computed beforehand, a program
 * that grew too large — is not: the caller reads rows then.
 */
import type { EvaluatedPart } from '../../kv-transaction.ts';
import type { TableScan } from '../../plan/plan.ts';
import type { Datum } from '../../session-api.ts';
import { SqlError } from '../../sql-error.ts';
import type { RowCodec } from '../../storage/row-codec.ts';
import type { Evaluator } from '../evaluate.ts';
import { keySpans } from '../key-spans.ts';
import { evaluateOnce } from '../operator.ts';
import { type Run, withArguments } from '../run.ts';
import { ProgramCache, type RunningProgram, startProgram } from './evaluate-program.ts';
import { encodeProgram, programBytesMax } from './program.ts';
import { type ProgramResult, readResult } from './result.ts';

/** A program as the plan has it: what is the same for every run. */
export interface PushedProgram {
  readonly scan: TableScan;
  readonly fixed: Buffer;
  /** What is computed before a run. */
  readonly parameters: readonly Evaluator[];
  readonly parameterCodec: RowCodec;
  /** Of a result's rows: columns in their places, others NULL. */
  readonly result: { readonly codec: RowCodec; readonly width: number };
}

export interface PushedRun {
  /** Rows that are enough; undefined: all. */
  readonly limit: number | undefined;
  /** The consumer may well stop early: ranges are asked one after the other. */
  readonly inTurn: boolean;
  /** A filter of keys, if the program has a place for one. */
  readonly keys?: Uint8Array | undefined;
}

const noBytes = new Uint8Array(0);
const cache = new ProgramCache();

/** Results in scan order. Undefined: this run cannot be pushed. */
export async function openPushed(
  program: PushedProgram,
  run: Run,
  { limit, inTurn, keys = noBytes }: PushedRun,
): Promise<AsyncGenerator<ProgramResult, void, undefined> | undefined> {
  const { scan } = program;
  const parameters = await parametersOf(program, run);
  if (parameters === undefined) return undefined;
  const { fixed, parameterCodec } = program;
  const bytes = encodeProgram({
    ...{ fixed, limit: limit ?? 0, keys },
    parameters: parameterCodec.encode(parameters),
  });
  if (bytes.length > programBytesMax) return undefined;
  const spans = await evaluateOnce(run, () => keySpans(scan, run.evaluation));
  const { signal } = run.pace;
  const parts = run.transaction.evaluate(spans, bytes, {
    reverse: scan.reverse,
    ...(inTurn ? { ahead: 1 } : {}),
    ...(signal === undefined ? {} : { signal }),
  });
  return parts && resultsOf(program, run, parts, bytes);
}

/** Undefined: one of them fails, which only counts where it is met. */
async function parametersOf(
  { parameters }: PushedProgram,
  run: Run,
): Promise<readonly Datum[] | undefined> {
  try {
    return await evaluateOnce(run, () => parameters.map((one) => one([], run.evaluation)));
  } catch (error) {
    if (error instanceof SqlError && !fatal.has(error.code)) return undefined;
    throw error;
  }
}

/** Cancelled, and out of memory: these are not the expression's. */
const fatal: ReadonlySet<string> = new Set(['57014', '53200']);

async function* resultsOf(
  { result: shape }: PushedProgram,
  run: Run,
  parts: AsyncIterable<EvaluatedPart>,
  bytes: Uint8Array,
): AsyncGenerator<ProgramResult, void, undefined> {
  const context = (parameters: readonly Datum[]) => ({
    ...withArguments(run.evaluation, []),
    parameters,
  });
  for await (const { result, pairs } of parts) {
    run.pace.check();
    if (run.pace.due()) await run.pace.rest();
    if (result !== undefined) {
      const read = readResult(shape, result);
      run.recorder?.received(read.rows.length);
      yield read;
      continue;
    }
    let own: RunningProgram | undefined;
    const finished = (): ProgramResult => {
      const evaluated = own?.finish();
      own = undefined;
      if (evaluated === undefined) throw new RangeError('a program runs where it was made');
      return readResult(shape, evaluated);
    };
    for (let i = 0; i < pairs.length; i++) {
      const pair = pairs[i];
      if (pair === undefined) continue;
      own ??= startProgram(cache, bytes, context);
      if (!own.take(pair.key, pair.value)) yield finished();
      if ((i & 63) === 63 && run.pace.due()) await run.pace.rest();
    }
    if (own !== undefined) yield finished();
  }
}
