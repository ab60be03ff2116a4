/** A program that sends a random sample of the rows of a scan, and says of how many: what ANALYZE asks of a table of any size. */
import type { EvaluatedPart, KvTransaction } from '../../kv-transaction.ts';
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

/** A sample of all rows of a span, as one snapshot shows them, and how many there are. */
export async function sampleOf(
  transaction: KvTransaction,
  span: Parameters<KvTransaction['scan']>[0],
  { rows, seed, pace }: { readonly rows: number; readonly seed: number; readonly pace: Pace },
): Promise<RowSample> {
  const sample = new RowSample(rows, sampleBytesMax, seed);
  const text: ProgramText = {
    source: { kind: 'rows', prefix: 0, key: [], stored: [] },
    ...{ width: 0, parameters: [], filter: null, probe: [], against: [] },
    output: { kind: 'sample', rows: Math.min(rows, partRowsMax), seed },
  };
  const nothing = new Uint8Array(0);
  const fixed = Buffer.from(JSON.stringify(text), 'utf8');
  const parameters = valuesCodec([]).encode([]);
  const program = encodeProgram({ fixed, limit: 0, parameters, keys: nothing });
  const parts = transaction.evaluate([span], program) ?? plain(transaction, span);
  for await (const { result, pairs } of parts) {
    pace.check();
    if (result === undefined) for (const { key, value } of pairs) sample.add(key, value);
    else {
      const found = readResult({ codec: rowCodec, width: 2 }, result);
      sample.merge({
        of: found.taken,
        rows: found.rows.map(([key, value]) => ({
          key: key as Uint8Array,
          value: value as Uint8Array,
        })),
      });
    }
    if (pace.due()) await pace.rest();
  }
  return sample;
}

async function* plain(
  transaction: KvTransaction,
  span: Parameters<KvTransaction['scan']>[0],
): AsyncGenerator<Pick<EvaluatedPart, 'result' | 'pairs'>> {
  for await (const pairs of transaction.scan(span)) yield { result: undefined, pairs };
}
