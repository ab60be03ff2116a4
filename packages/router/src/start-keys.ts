/**
 * Where the pieces of the key space begin, for searches: all start keys side by side in one array. A binary search among a
 * thousand pieces otherwise looks at ten keys, each an object that points to bytes elsewhere, and waits for most of them.
 */
import { compareBytes, type Span } from '@flotilla/base';

export class StartKeys {
  private readonly bytes: Uint8Array;
  /** Of the key at each index: where it begins; and, behind the last, where that ends. */
  private readonly offsets: Uint32Array;
  /** 1: the piece ends where the next one begins. */
  private readonly reaching: Uint8Array;

  /** @param pieces disjoint, ascending */
  constructor(pieces: readonly Span[]) {
    this.offsets = new Uint32Array(pieces.length + 1);
    this.reaching = new Uint8Array(pieces.length);
    let length = 0;
    for (const [index, { startKey, endKey }] of pieces.entries()) {
      length += startKey.length;
      this.offsets[index + 1] = length;
      const next = pieces[index + 1];
      if (next !== undefined && compareBytes(endKey, next.startKey) === 0) this.reaching[index] = 1;
    }
    this.bytes = new Uint8Array(length);
    for (const [index, { startKey }] of pieces.entries())
      this.bytes.set(startKey, this.offsets[index]);
  }

  /** Index of the last piece that begins at or before the key, or -1. */
  lastAtOrBefore(key: Uint8Array): number {
    let low = 0;
    let high = this.reaching.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.order(middle, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** True if whatever is not before this piece, nor at or behind the next one, is in it. */
  reachesNext(index: number): boolean {
    return this.reaching[index] === 1;
  }

  /** As `compareBytes`. By hand: a call for a few bytes costs more than they do. */
  private order(index: number, key: Uint8Array): number {
    const { bytes, offsets } = this;
    const from = offsets[index] as number;
    const length = (offsets[index + 1] as number) - from;
    const common = Math.min(length, key.length);
    for (let i = 0; i < common; i++) {
      const difference = (bytes[from + i] as number) - (key[i] as number);
      if (difference !== 0) return difference;
    }
    return length - key.length;
  }
}
