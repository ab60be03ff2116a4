/** A program as a plan has it, and the bytes that are sent for one run of it. */
import type { Datum } from '../../session-api.ts';
import { SqlError } from '../../sql-error.ts';
import type { RowCodec } from '../../storage/row-codec.ts';
import type { Evaluator } from '../evaluate.ts';
import { evaluateOnce } from '../operator.ts';
import type { Run } from '../run.ts';
import { encodeProgram, programBytesMax } from './program.ts';

/** What is the same for every run. */
export interface PlannedProgram {
  readonly fixed: Buffer;
  /** What is computed before a run. */
  readonly parameters: readonly Evaluator[];
  readonly parameterCodec: RowCodec;
}

const noBytes = new Uint8Array(0);

/** Undefined: a value cannot be computed beforehand, which only counts where it is met; or the program is too large. */
export async function programOfRun(
  program: PlannedProgram,
  run: Run,
  {
    limit = 0,
    keys = noBytes,
  }: { readonly limit?: number | undefined; readonly keys?: Uint8Array | undefined } = {},
): Promise<Uint8Array | undefined> {
  const values = await parametersOf(program, run);
  if (values === undefined) return undefined;
  const { fixed, parameterCodec } = program;
  const bytes = encodeProgram({ fixed, limit, keys, parameters: parameterCodec.encode(values) });
  return bytes.length > programBytesMax ? undefined : bytes;
}

async function parametersOf(
  { parameters }: PlannedProgram,
  run: Run,
): Promise<readonly Datum[] | undefined> {
  if (parameters.length === 0) return noValues;
  try {
    return await evaluateOnce(run, () => parameters.map((one) => one([], run.evaluation)));
  } catch (error) {
    if (error instanceof SqlError && !fatal.has(error.code)) return undefined;
    throw error;
  }
}

const noValues: readonly Datum[] = [];

/** Cancelled, and out of memory: these are not the expression's. */
const fatal: ReadonlySet<string> = new Set(['57014', '53200']);
