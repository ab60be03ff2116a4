/**
 * A Bloom filter over keys of a hash join: says of a key that it is surely not among them, or may be. Never wrong in the
 * first; about one in a hundred wrong in the second, which the join itself finds out.
 *
 *   u8 number of hashes, then the bits
 */
import type { HashKey } from '../hash-key.ts';

const bitsPerKey = 10;
const hashes = 7;
/** More keys than this are not sent along: a filter is made in one turn of the loop, and every request carries it. */
export const filteredKeysMax: number = 30_000;

export function buildKeyFilter(keys: Iterable<HashKey>, count: number): Uint8Array {
  const bytes = new Uint8Array(1 + Math.max(8, Math.ceil((count * bitsPerKey) / 8)));
  bytes[0] = hashes;
  const bits = (bytes.length - 1) * 8;
  for (const key of keys) {
    const [first, second] = hashesOf(key);
    for (let i = 0; i < hashes; i++) {
      const bit = place(first, second, i, bits);
      const at = 1 + (bit >>> 3);
      bytes[at] = (bytes[at] ?? 0) | (1 << (bit & 7));
    }
  }
  return bytes;
}

export class KeyFilter {
  private readonly bytes: Uint8Array;
  private readonly hashes: number;
  private readonly bits: number;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.hashes = bytes[0] ?? 0;
    this.bits = (bytes.length - 1) * 8;
  }

  mayHold(key: HashKey): boolean {
    if (this.bits === 0) return true;
    const [first, second] = hashesOf(key);
    for (let i = 0; i < this.hashes; i++) {
      const bit = place(first, second, i, this.bits);
      if (((this.bytes[1 + (bit >>> 3)] ?? 0) & (1 << (bit & 7))) === 0) return false;
    }
    return true;
  }
}

/** The i-th of as many places as are wanted, from two hashes. */
function place(first: number, second: number, i: number, bits: number): number {
  return ((first + Math.imul(i, second)) >>> 0) % bits;
}

/** Two FNV-1a hashes of the key as text, with what kind of value it is in front. */
function hashesOf(key: HashKey): readonly [number, number] {
  const text = typeof key === 'string' ? key : `${typeof key}${String(key)}`;
  let first = 0x811c9dc5;
  let second = 0x9747b28c;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    first = Math.imul(first ^ unit, 0x01000193);
    second = Math.imul(second ^ unit, 0x5bd1e995);
    second ^= second >>> 15;
  }
  // FNV leaves the high bits of short texts alike.
  first ^= first >>> 16;
  first = Math.imul(first, 0x85ebca6b);
  first ^= first >>> 13;
  return [first >>> 0, (second | 1) >>> 0];
}
