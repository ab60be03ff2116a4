/**
 * What placement has read of the cluster's rows: they are read every second and hardly ever change, and a row of the same
 * bytes is not checked, decoded and turned into a picture again. So pictures are equal if they are the same object.
 */
import { asBuffer } from '@flotilla/base';
import {
  decodeConfigurationRow,
  noConfigurations,
  RangeConfigurations,
} from '../protocol/range-configuration.ts';
import { checkDescriptor, type RangeDescriptor } from '../range-descriptor.ts';
import { checkStored, storedPayload } from '../state/stored-value.ts';
import { decodeRangeInfo } from '../store/meta-index.ts';
import type { RangePicture } from './picture.ts';
import type { RangeInfo } from './store-client.ts';

/** As an engine has it, with its user's key. */
export interface StoredRow {
  readonly key: Buffer;
  /** In stored form, not checked yet. */
  readonly stored: Buffer;
}

/** One row of the meta index. */
export interface IndexRow {
  readonly bytes: Buffer;
  readonly info: RangeInfo;
  /** Undefined: not one that can be relied on. */
  readonly descriptor: RangeDescriptor | undefined;
  /** Made last, and from which wishes. */
  picture?: RangePicture;
  configurations?: RangeConfigurations;
}

export class IndexCache {
  private rows = new Map<string, IndexRow>();
  private kept = new Map<string, IndexRow>();
  private configurationRows: readonly StoredRow[] = [];
  private configurations = noConfigurations;

  /** Of a row in an engine. Throws FatalError(engineCorrupt). */
  local({ key, stored }: StoredRow): IndexRow {
    return this.lookup(key, stored, () => storedPayload(checkStored(key, stored)));
  }

  /** Of a row as another store has sent it. */
  remote(key: Uint8Array, value: Uint8Array): IndexRow {
    return this.lookup(key, value, () => value);
  }

  /** All rows have been looked at: those that were not are gone. */
  endRound(): void {
    this.rows = this.kept;
    this.kept = new Map();
  }

  /** The same object as long as the rows are the same. Throws FatalError(engineCorrupt). */
  configurationsOf(rows: readonly StoredRow[]): RangeConfigurations {
    if (sameRows(rows, this.configurationRows)) return this.configurations;
    const found = rows.flatMap(
      ({ key, stored }) => decodeConfigurationRow(storedPayload(checkStored(key, stored))) ?? [],
    );
    this.configurationRows = rows;
    this.configurations = new RangeConfigurations(found);
    return this.configurations;
  }

  private lookup(key: Uint8Array, bytes: Uint8Array, payload: () => Uint8Array): IndexRow {
    const name = asBuffer(key).toString('latin1');
    let row = this.rows.get(name);
    if (row === undefined || !row.bytes.equals(bytes)) {
      const info: RangeInfo = decodeRangeInfo(payload());
      const checked = checkDescriptor(info.descriptor ?? {});
      // A copy: a view would keep the whole frame that it came with.
      row = {
        ...{ bytes: Buffer.from(bytes), info },
        descriptor: checked.ok ? checked.descriptor : undefined,
      };
    }
    this.kept.set(name, row);
    return row;
  }
}

function sameRows(some: readonly StoredRow[], others: readonly StoredRow[]): boolean {
  return (
    some.length === others.length &&
    some.every(({ key, stored }, i) => {
      const other = others[i];
      return other !== undefined && key.equals(other.key) && stored.equals(other.stored);
    })
  );
}
