/** What programs are run over: the rows of a scan, or the values of a get that are there. */
import type { flotilla } from '../../gen/kv.js';
import { storedPayload } from '../state/stored-value.ts';
import type { ScanEnd, ScanPace, VersionScan } from '../transaction/version-scan.ts';

type Value = flotilla.kv.Value.$Properties;
/** @returns false: no more */
type Take = (key: Uint8Array, value: Uint8Array, position: number) => boolean;

export interface RowSource {
  /** Hands out rows. Once. @param pace asked after so many keys: what to wait for before the next */
  each(take: Take, pace: ScanPace): Promise<ScanEnd>;
}

export function scannedRows(scan: VersionScan): RowSource {
  let rows = 0;
  return {
    each: (take, pace) =>
      scan.each((key, stored) => take(key, storedPayload(stored), rows++), pace),
  };
}

/** Values that were taken at one moment. */
export class GottenRows implements RowSource {
  /** Keys that were looked at. */
  done = 0;
  private readonly keys: readonly Uint8Array[];
  private readonly values: readonly Value[];

  /** @param values of the first of the keys */
  constructor(keys: readonly Uint8Array[], values: readonly Value[]) {
    this.keys = keys;
    this.values = values;
  }

  async each(take: Take, pace: ScanPace): Promise<ScanEnd> {
    const { keys, values } = this;
    for (let i = 0; i < values.length; i++) {
      const { present, value } = values[i] ?? {};
      this.done++;
      if (present === true && !take(keys[i] ?? noBytes, value ?? noBytes, i))
        return { kind: 'stopped' };
      if (this.done % pace.rows !== 0) continue;
      const rest = pace.rest();
      if (rest !== undefined) await rest;
    }
    return { kind: 'complete' };
  }
}

const noBytes = Buffer.alloc(0);
