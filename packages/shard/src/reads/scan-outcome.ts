/** What a scan of a snapshot came to, at the leaseholder or at a follower: its rows, or what a program made of them. */
import type { flotilla } from '../../gen/kv.js';
import { type EvaluatedReads, programRefused } from '../evaluation/evaluated-reads.ts';
import type { ReadProgram } from '../evaluation/read-programs.ts';
import { scannedRows } from '../evaluation/row-sources.ts';
import type { VersionScan } from '../transaction/version-scan.ts';
import type { NoValues } from './snapshot-values.ts';

/** `last` is the last key that counts; undefined: there was none. */
export type ScanOutcome =
  | {
      readonly kind: 'found';
      readonly found: flotilla.kv.ScanResponse.$Properties;
      readonly last: Uint8Array | undefined;
      readonly complete: boolean;
    }
  | NoValues;

/** @param program undefined: the rows themselves are wanted */
export async function outcomeOf(
  scan: VersionScan,
  program: ReadProgram | undefined,
  evaluation: EvaluatedReads,
): Promise<ScanOutcome> {
  if (program === undefined) {
    const result = await scan.run();
    if (result.kind === 'uncertain') return result;
    const { rows, complete } = result;
    return { kind: 'found', found: { rows }, last: rows.at(-1)?.key ?? undefined, complete };
  }
  const outcome = await evaluation.run(scannedRows(scan), program);
  if (outcome.kind === 'uncertain') return outcome;
  if (outcome.kind === 'refused') return { kind: 'answer', answer: programRefused() };
  const { result, rowsRead, last, complete } = outcome;
  return { kind: 'found', found: { evaluated: true, result, rowsRead }, last, complete };
}
