/** A program that sends a random sample of the rows of a scan, and says of how many: what ANALYZE asks of a table of any size. */
import { type Clock, compareBytes, DbError, keySuccessor, type Span } from '@flotilla/base';
import type { EvaluatedPart, KvTransaction } from '../../kv-transaction.ts';
import { sampleSnapshotMs } from '../../limits.ts';
import type { RowCodec } from '../../storage/row-codec.ts';
import type { Pace } from '../run.ts';
import { countOf, UnknownProgram } from './expression-text.ts';
import { encodeProgram, type ProgramText } from './program.ts';
import { bytesForm, valuesCodec } from './pushable.ts';
import { ResultWriter, readResult } from './result.ts';
import { RowSample } from './row-sample.ts';

/** Rows of one answer, and their bytes: answers have half a MiB. */
const partRowsMax = 2_000;
const partBytesMax = 384 * 1024;
/** What a whole sample may hold. Unit: bytes. */
const sampleBytesMax = 32 * 1024 * 1024;

export interface SampleOutput {
  readonly kind: 'sample';
  readonly rows: number;
  readonly seed: number;
}

/** Key and value, as bytes. */
const rowCodec: RowCodec = valuesCodec([bytesForm, bytesForm]);

/** @throws UnknownProgram */
export function sampleOutputOf(text: Readonly<Record<string, unknown>>): SampleOutput {
  const rows = countOf(text.rows);
  if (rows === 0 || rows > partRowsMax) throw new UnknownProgram('sample');
  return { kind: 'sample', rows, seed: countOf(text.seed) };
}

/** One run at a store. */
export class Sampling {
  private readonly sample: RowSample;

  constructor({ rows, seed }: SampleOutput) {
    this.sample = new RowSample(rows, partBytesMax, seed);
  }

  take(key: Uint8Array, value: Uint8Array): boolean {
    this.sample.add(key, value);
    return true;
  }

  finish(): Uint8Array {
    const result = new ResultWriter(rowCodec);
    for (const { key, value } of this.sample.rows) result.add([key, value]);
    return result.finish(this.sample.of, undefined);
  }
}

export interface SampleOptions {
  readonly rows: number;
  readonly seed: number;
  readonly pace: Pace;
  readonly clock: Clock;
  /** A snapshot of its own. */
  readonly begin: () => KvTransaction;
}

/**
 * A sample of all rows of a span, and how many there are, about: rows that are read late are those of a later snapshot. With one
 * snapshot the cluster had to keep all history for as long as a table of any size takes, or it was too old before the end.
 */
export async function sampleOf(span: Span, options: SampleOptions): Promise<RowSample> {
  const sample = new RowSample(options.rows, sampleBytesMax, options.seed);
  let rest: Span | undefined = span;
  while (rest !== undefined && compareBytes(rest.startKey, rest.endKey) < 0)
    rest = await addOfOneSnapshot(sample, rest, options);
  return sample;
}

/** @returns what is left of the span. Undefined: nothing */
async function addOfOneSnapshot(
  sample: RowSample,
  span: Span,
  { rows, seed, pace, clock, begin }: SampleOptions,
): Promise<Span | undefined> {
  const { endKey } = span;
  const untilMs = clock.nowMs() + sampleSnapshotMs;
  const transaction = begin();
  const program = programOf(Math.min(rows, partRowsMax), seed);
  const parts = transaction.evaluate([span], program) ?? plain(transaction, span);
  let startKey: Uint8Array | undefined;
  try {
    for await (const { result, pairs, next } of parts) {
      pace.check();
      if (result === undefined) for (const { key, value } of pairs) sample.add(key, value);
      else sample.merge(sampleIn(result));
      startKey = next;
      if (startKey !== undefined && clock.nowMs() >= untilMs) return { startKey, endKey };
      if (pace.due()) await pace.rest();
    }
  } catch (error) {
    // It took longer than history is kept. Where nothing was read of this snapshot, the next one does not help either.
    const isOld = error instanceof DbError && error.code === 'SNAPSHOT_TOO_OLD';
    if (!isOld || startKey === undefined) throw error;
    return { startKey, endKey };
  }
  return undefined;
}

function programOf(rows: number, seed: number): Uint8Array {
  const text: ProgramText = {
    source: { kind: 'rows', prefix: 0, key: [], stored: [] },
    ...{ width: 0, parameters: [], filter: null, probe: [], against: [] },
    output: { kind: 'sample', rows, seed },
  };
  const nothing = new Uint8Array(0);
  const fixed = Buffer.from(JSON.stringify(text), 'utf8');
  const parameters = valuesCodec([]).encode([]);
  return encodeProgram({ fixed, limit: 0, parameters, keys: nothing });
}

function sampleIn(result: Uint8Array): Parameters<RowSample['merge']>[0] {
  const found = readResult({ codec: rowCodec, width: 2 }, result);
  const rows = found.rows.map(([key, value]) => ({
    key: key as Uint8Array,
    value: value as Uint8Array,
  }));
  return { of: found.taken, rows };
}

async function* plain(
  transaction: KvTransaction,
  span: Span,
): AsyncGenerator<Pick<EvaluatedPart, 'result' | 'pairs' | 'next'>> {
  for await (const pairs of transaction.scan(span)) {
    const last = pairs[pairs.length - 1];
    yield { result: undefined, pairs, next: last && keySuccessor(last.key) };
  }
}
