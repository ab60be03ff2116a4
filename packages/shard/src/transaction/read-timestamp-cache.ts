/**
 * Up to which timestamp the keys of a range were read: no write may come below. Keys share hash buckets, spans share one
 * number; what is remembered too high only pushes writers up. Belongs to one leaseholder and ends with it: below `floor`
 * its predecessor may have served reads that it knows nothing of.
 */
import { assert } from '@flotilla/base';

const buckets = 4096;
/** Several transactions read at exactly that timestamp, or one that is not known. */
const nobody = 0;

export class ReadTimestampCache {
  /** Everything counts as read up to here. */
  private floor: number;
  private keys: Float64Array | undefined;
  /** Who read there: a transaction may write at the timestamp of its own reads. */
  private owners: Float64Array | undefined;
  private span = 0;
  private spanOwner = nobody;

  constructor(floor: number) {
    this.floor = floor;
  }

  /** A key was read at `timestamp` by the transaction. */
  bumpKey(name: string, timestamp: number, transaction: string): void {
    if (timestamp <= this.floor) return;
    this.keys ??= new Float64Array(buckets);
    this.owners ??= new Float64Array(buckets);
    const bucket = bucketOf(name);
    const before = this.keys[bucket] ?? 0;
    if (timestamp < before) return;
    const owner = ownerOf(transaction);
    if (timestamp > before) {
      this.keys[bucket] = timestamp;
      this.owners[bucket] = owner;
    } else if (this.owners[bucket] !== owner) this.owners[bucket] = nobody;
  }

  bumpSpan(timestamp: number, transaction: string): void {
    if (timestamp <= this.floor || timestamp < this.span) return;
    const owner = ownerOf(transaction);
    if (timestamp > this.span) this.spanOwner = owner;
    else if (this.spanOwner !== owner) this.spanOwner = nobody;
    this.span = timestamp;
  }

  /** @returns the least timestamp at which the transaction may write the key */
  leastWrite(name: string, transaction: string): number {
    const owner = ownerOf(transaction);
    let least = this.floor + 1;
    if (this.span > 0)
      least = Math.max(least, this.spanOwner === owner ? this.span : this.span + 1);
    if (this.keys === undefined) return least;
    const bucket = bucketOf(name);
    const read = this.keys[bucket] ?? 0;
    return Math.max(least, this.owners?.[bucket] === owner ? read : read + 1);
  }

  /** For the right half of a range that is cut: it knows at least as much. */
  copy(): ReadTimestampCache {
    const copy = new ReadTimestampCache(this.floor);
    copy.keys = this.keys?.slice();
    copy.owners = this.owners?.slice();
    copy.span = this.span;
    copy.spanOwner = this.spanOwner;
    return copy;
  }
}

/** FNV-1a over the characters. */
function bucketOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++)
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193) >>> 0;
  return ((hash ^ (hash >>> 15)) >>> 0) % buckets;
}

/** 48 random bits of the id, never 0: two transactions that read at the same timestamp hardly ever share them. */
function ownerOf(transaction: string): number {
  assert(transaction.length >= 6, 'a transaction has an id');
  let owner = 0;
  for (let i = 0; i < 6; i++) owner = owner * 256 + transaction.charCodeAt(i);
  return owner + 1;
}
