/**
 * The meta index as one store sees it: which replica here has the row of a range, which row that is, and, at a replica of
 * the first range, where the parts of the index are that it does not hold itself. Reads applied state; may be old, and
 * says so by being superseded. Asked by whoever writes rows, looks them up for other stores, or sends those on.
 */
import {
  asBuffer,
  compareBytes,
  keySuccessor,
  metaPrefix,
  rootEndKey,
  type Span,
  spanContains,
  systemPrefix,
} from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import type { Engine } from '../engine/engine.ts';
import { metaRangeId } from '../initial-ranges.ts';
import { kv } from '../protocol/index.ts';
import { checkDescriptor, type RangeDescriptor } from '../range-descriptor.ts';
import type { Replica } from '../replica/replica.ts';
import { userKeyOf } from '../state/storage-keys.ts';
import { checkStored, storedPayload } from '../state/stored-value.ts';

/** Key of the row of the range that ends at `endKey`. */
export function metaKey(endKey: Uint8Array): Buffer {
  return Buffer.concat([metaPrefix, endKey]);
}

export interface IndexRow {
  readonly descriptor: RangeDescriptor;
  /** 0: nobody has said yet. */
  readonly leaseholderStoreId: number;
  readonly term: number;
}

/** Undefined: not the row of a range. */
export function decodeIndexRow(value: Uint8Array): IndexRow | undefined {
  const { descriptor, leaseholderStoreId, term } = decodeRangeInfo(value);
  const checked = checkDescriptor(descriptor ?? {});
  return checked.ok ? { descriptor: checked.descriptor, leaseholderStoreId, term } : undefined;
}

/** Nothing is in it if it is none: whoever may write to the key space may write anything there. */
export function decodeRangeInfo(value: Uint8Array): flotilla.kv.RangeInfo {
  try {
    return kv.RangeInfo.decode(value);
  } catch {
    return kv.RangeInfo.decode(new Uint8Array(0));
  }
}

/** The range holds rows of ranges. */
export function isPartOfIndex({ startKey }: Span): boolean {
  return compareBytes(startKey, systemPrefix) < 0;
}

export interface MetaIndexOptions {
  readonly engine: Engine;
  /** Of this store, by range. */
  readonly replicas: ReadonlyMap<number, Replica>;
}

export class MetaIndex {
  private readonly options: MetaIndexOptions;

  constructor(options: MetaIndexOptions) {
    this.options = options;
  }

  /** The replica of the first range. */
  get first(): Replica | undefined {
    return this.options.replicas.get(metaRangeId);
  }

  /** Replicas here that hold a part of the index. Cost: a look at every replica, unless the first range has it all. */
  parts(): readonly Replica[] {
    const { first } = this;
    if (first !== undefined && compareBytes(first.descriptor.endKey, systemPrefix) >= 0)
      return [first];
    return [...this.options.replicas.values()].filter(({ descriptor }) =>
      isPartOfIndex(descriptor),
    );
  }

  /** Among `parts`, the one that has this row. */
  partWith(parts: readonly Replica[], row: Uint8Array): Replica | undefined {
    return parts.find(({ descriptor }) => spanContains(descriptor, row));
  }

  /** Descriptor in the first row at or after a key, as far as `part` has one. */
  async rowFrom(part: Replica, row: Uint8Array): Promise<RangeDescriptor | undefined> {
    const { endKey } = part.descriptor;
    if (compareBytes(row, endKey) >= 0) return undefined;
    const iterator = this.options.engine.iterate(part.space.dataSpan(row, endKey));
    try {
      const [found] = await iterator.next(1);
      return found === undefined ? undefined : descriptorOf(userKeyOf(found.key), found.value);
    } finally {
      await iterator.close();
    }
  }

  /** The range that has this row, as the root tells. Undefined: it is not here, or has no such row yet. */
  async rangeWith(row: Uint8Array): Promise<RangeDescriptor | undefined> {
    const { first } = this;
    if (first === undefined || compareBytes(row, rootEndKey) < 0) return undefined;
    return this.rowFrom(first, keySuccessor(metaKey(row)));
  }
}

function descriptorOf(key: Uint8Array, stored: Uint8Array): RangeDescriptor | undefined {
  const payload = storedPayload(checkStored(asBuffer(key), asBuffer(stored)));
  return decodeIndexRow(payload)?.descriptor;
}
