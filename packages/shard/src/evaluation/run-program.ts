/**
 * Runs the program of a scan over what a snapshot shows of a span: a slice of the loop's time after the other, up to the
 * bounds of one answer. The lease, the snapshot and what is in the way of it are the business of whoever calls.
 */
import type { Clock } from '@flotilla/base';
import type { StoreLimits } from '../limits.ts';
import { storedPayload } from '../state/stored-value.ts';
import type { VersionScan } from '../transaction/version-scan.ts';
import type { ScanProgram } from './scan-programs.ts';

export type ProgramOutcome =
  /** `last` is the key of the last row that counts; undefined: there was none. */
  | {
      readonly kind: 'done';
      readonly result: Uint8Array;
      readonly rowsRead: number;
      readonly last: Uint8Array | undefined;
      readonly complete: boolean;
    }
  | { readonly kind: 'uncertain'; readonly timestamp: number }
  | { readonly kind: 'refused' };

/** Rows between two looks at the clock. */
const rowsPerLook = 32;

export async function runProgram(
  clock: Clock,
  limits: Pick<StoreLimits, 'programRowsMax' | 'programMs' | 'programSliceMs'>,
  scan: VersionScan,
  program: ScanProgram,
): Promise<ProgramOutcome> {
  const beganAt = clock.nowMs();
  let sliceBegan = beganAt;
  let rowsRead = 0;
  let last: Uint8Array | undefined;
  let spent = false;
  const rest = (): Promise<void> | undefined => {
    const now = clock.nowMs();
    spent = now - beganAt >= limits.programMs;
    if (now - sliceBegan < limits.programSliceMs) return undefined;
    return new Promise((resolve) => {
      clock.afterTurn(() => {
        sliceBegan = clock.nowMs();
        resolve();
      });
    });
  };
  const end = await scan.each(
    (key, stored) => {
      rowsRead++;
      last = key;
      return program.take(key, storedPayload(stored)) && rowsRead < limits.programRowsMax && !spent;
    },
    { rows: rowsPerLook, rest },
  );
  if (end.kind === 'uncertain') return end;
  const result = program.finish();
  if (result === undefined) return { kind: 'refused' };
  return { kind: 'done', result, rowsRead, last, complete: end.kind === 'complete' };
}
