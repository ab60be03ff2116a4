/**
 * Rows by their keys, evaluated at the stores that hold them, on all ranges at once: made with the plan, run for a batch of
 * keys. Rows that no store has evaluated are evaluated here, by the same program.
 */
import type { EvaluatedKeys } from '../../kv-transaction.ts';
import type { Datum } from '../../session-api.ts';
import type { SqlError } from '../../sql-error.ts';
import type { Run } from '../run.ts';
import { evaluateHere, type GivenRow } from './evaluate-here.ts';
import type { PlannedProgram } from './planned-program.ts';
import { type ProgramResult, type ResultShape, readResult } from './result.ts';

export interface PushedRows extends PlannedProgram {
  /** Of a result's rows: columns in their places, others NULL, and behind them which of the keys it is. */
  readonly result: ResultShape;
}

/** What was made of the rows of some keys. */
export interface RowsOfKeys {
  /** In the order of their keys, up to the first that met an error. */
  readonly rows: readonly Datum[][];
  /** Of each row: which of the keys it is. */
  readonly positions: readonly number[];
  /** To be raised behind the rows. */
  readonly error: SqlError | undefined;
}

interface KeysResult extends ProgramResult {
  /** Which of the keys it is that the program has counted so. */
  readonly positionOf: (counted: number) => number;
  /** Which of the keys was looked at last. */
  readonly last: number;
}

/** Results in an order of their own. */
export async function* evaluatedKeys(
  { result: shape }: Pick<PushedRows, 'result'>,
  run: Run,
  keys: readonly Uint8Array[],
  program: Uint8Array,
): AsyncGenerator<KeysResult, void, undefined> {
  const parts =
    run.transaction.evaluateKeys(keys, program, run.pace.signal) ?? asTheyAre(run, keys);
  for await (const { positions, result, values } of parts) {
    run.pace.check();
    if (run.pace.due()) await run.pace.rest();
    if (result !== undefined) {
      const read = readResult(shape, result);
      run.recorder?.received(read.rows.length);
      const positionOf = (counted: number): number => positions[counted] ?? 0;
      yield { ...read, positionOf, last: positions.at(-1) ?? 0 };
      continue;
    }
    for await (const own of evaluateHere(shape, run, program, rowsOf(keys, positions, values)))
      yield { ...own, positionOf: (counted) => counted };
  }
}

/** All of them, in order. */
export async function rowsOfKeys(
  rows: PushedRows,
  run: Run,
  keys: readonly Uint8Array[],
  program: Uint8Array,
): Promise<RowsOfKeys> {
  const column = rows.result.width - 1;
  const found: (readonly [number, Datum[]])[] = [];
  let failed = keys.length;
  let error: SqlError | undefined;
  for await (const part of evaluatedKeys(rows, run, keys, program)) {
    for (const row of part.rows) {
      const place = Number(row[column]);
      row.length = column;
      found.push([part.positionOf(place), row]);
    }
    if (part.error === undefined || part.last >= failed) continue;
    failed = part.last;
    error = part.error;
  }
  found.sort(([a], [b]) => a - b);
  const counted = error === undefined ? found : found.filter(([position]) => position < failed);
  return {
    rows: counted.map(([, row]) => row),
    positions: counted.map(([position]) => position),
    error,
  };
}

function* rowsOf(
  keys: readonly Uint8Array[],
  positions: readonly number[],
  values: readonly (Uint8Array | undefined)[],
): Generator<GivenRow> {
  for (let i = 0; i < positions.length; i++) {
    const position = positions[i] ?? 0;
    const [key, value] = [keys[position], values[i]];
    if (key !== undefined && value !== undefined) yield { key, value, position };
  }
}

async function* asTheyAre(run: Run, keys: readonly Uint8Array[]): AsyncGenerator<EvaluatedKeys> {
  const values = await run.pace.unlessCancelled(run.transaction.getMany(keys));
  const positions = keys.map((_key, i) => i);
  yield { positions, result: undefined, values, rowsRead: 0, from: undefined };
}
