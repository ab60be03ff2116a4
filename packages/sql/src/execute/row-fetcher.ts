/**
 * Rows by their keys, a batch at a time: evaluated at the stores, where the plan has a program for them and the keys are
 * enough to be worth one, or as they are.
 */
import { keysWorthProgram } from '../limits.ts';
import type { TableScan } from '../plan/plan.ts';
import type { Datum } from '../session-api.ts';
import { programOfRun } from './push/planned-program.ts';
import { type PushedRows, type RowsOfKeys, rowsOfKeys } from './push/pushed-rows.ts';
import type { Run } from './run.ts';

export interface FetchedRows extends RowsOfKeys {
  /** The program was run over them. Otherwise nothing has been asked of them. */
  readonly evaluated: boolean;
}

/** Of one run. */
export class RowFetcher {
  private readonly scan: TableScan;
  private readonly run: Run;
  private readonly rows: PushedRows | undefined;
  private readonly filterOfKeys: Uint8Array | undefined;
  private program: Promise<Uint8Array | undefined> | undefined;

  /** @param filterOfKeys what a join looks for, if the program has a place for it */
  constructor(
    scan: TableScan,
    run: Run,
    rows: PushedRows | undefined,
    filterOfKeys?: Uint8Array | undefined,
  ) {
    this.scan = scan;
    this.run = run;
    this.rows = rows;
    this.filterOfKeys = filterOfKeys;
  }

  async fetch(keys: readonly Uint8Array[]): Promise<FetchedRows> {
    const { rows, run } = this;
    if (rows !== undefined && keys.length >= keysWorthProgram) {
      this.program ??= programOfRun(rows, run, { keys: this.filterOfKeys });
      const program = await this.program;
      if (program !== undefined)
        return { ...(await rowsOfKeys(rows, run, keys, program)), evaluated: true };
    }
    return this.plain(keys);
  }

  private async plain(keys: readonly Uint8Array[]): Promise<FetchedRows> {
    const { scan, run } = this;
    const { store, needed, withRowId } = scan;
    if (keys.length === 0) return { rows: [], positions: [], error: undefined, evaluated: false };
    const values = await run.pace.unlessCancelled(run.transaction.getMany(keys));
    const rows: Datum[][] = [];
    const positions: number[] = [];
    keys.forEach((key, i) => {
      const value = values[i];
      // An entry and its row come and go together, except with the whole table.
      if (value === undefined) return;
      const row = store.decodeRow(key, value, needed);
      if (withRowId) row.push(store.hiddenRowId(key));
      rows.push(row);
      positions.push(i);
    });
    return { rows, positions, error: undefined, evaluated: false };
  }
}
