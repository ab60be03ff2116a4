/**
 * Every key is in exactly one range, at every moment: the newest descriptors that anybody ever applied tile the key space.
 * A split gives both halves their bounds in one step, so there is no moment at which a key has no range or two. And a
 * generation of a range means one thing: whoever applied it has the same bounds and the same members.
 */
import { asBuffer, compareBytes, emptyBytes, keyMax, toHex } from '@flotilla/base';
import { inspectStore } from '@flotilla/shard/testing';
import type { StoreMachine } from '../cluster/store-machine.ts';
import { SimFailure } from '../failure.ts';

export type Descriptor = ReturnType<typeof inspectStore>[number]['descriptor'];

export class Tiling {
  /** By range, the newest that was seen. */
  private readonly newest = new Map<number, Descriptor>();
  /** By range and generation, as text. */
  private readonly meanings = new Map<string, string>();
  private changed = false;

  /** Ranges that exist, ascending. */
  get rangeIds(): readonly number[] {
    return [...this.newest.keys()].sort((a, b) => a - b);
  }

  /** The newest of every range. */
  get descriptors(): readonly Descriptor[] {
    return [...this.newest.values()];
  }

  /** What a machine's replicas have applied. Throws SimFailure. */
  observe({ store, host }: Pick<StoreMachine, 'store' | 'host'>): void {
    if (store === undefined) return;
    for (const { descriptor } of inspectStore(store)) {
      const known = this.newest.get(descriptor.rangeId);
      if (known === descriptor) continue;
      this.checkMeaning(descriptor, host.name);
      if (known !== undefined && known.generation >= descriptor.generation) continue;
      this.newest.set(descriptor.rangeId, descriptor);
      this.changed = true;
    }
  }

  /** Two keys, ascending, lie in different ranges. */
  isCutBetween(low: Uint8Array, high: Uint8Array): boolean {
    for (const { startKey } of this.newest.values())
      if (compareBytes(low, startKey) < 0 && compareBytes(startKey, high) <= 0) return true;
    return false;
  }

  /** After all machines were looked at. Throws SimFailure. */
  check(): void {
    if (!this.changed) return;
    this.changed = false;
    const sorted = [...this.newest.values()].sort((a, b) => compareBytes(a.startKey, b.startKey));
    let end: Uint8Array = emptyBytes;
    for (const descriptor of sorted) {
      if (compareBytes(descriptor.startKey, end) !== 0) throw this.fault(sorted, end);
      end = descriptor.endKey;
    }
    if (compareBytes(end, keyMax) !== 0) throw this.fault(sorted, end);
  }

  private checkMeaning(descriptor: Descriptor, host: string): void {
    const { rangeId, generation } = descriptor;
    const name = `r${rangeId} generation ${generation}`;
    const meaning = textOf(descriptor);
    const known = this.meanings.get(name);
    if (known === undefined) this.meanings.set(name, meaning);
    else if (known !== meaning)
      throw new SimFailure('tiling', `${name} is ${meaning} on ${host}, and ${known} elsewhere`);
  }

  private fault(sorted: readonly Descriptor[], end: Uint8Array): SimFailure {
    const all = sorted.map((each) => `r${each.rangeId} ${textOf(each)}`).join('\n');
    return new SimFailure('tiling', `at ${toHex(end)} no range, or two, of\n${all}`);
  }
}

interface Described {
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  readonly generation: number;
  readonly replicas: readonly {
    readonly replicaId?: number | null;
    readonly storeId?: number | null;
    readonly role?: number | null;
  }[];
}

/** All but the range's number. */
export function textOf({ startKey, endKey, generation, replicas }: Described): string {
  const members = replicas.map(
    ({ replicaId, storeId, role }) => `${replicaId}@s${storeId}/${role ?? 0}`,
  );
  return `[${toHex(asBuffer(startKey))}, ${toHex(asBuffer(endKey))}) g${generation} ${members}`;
}
