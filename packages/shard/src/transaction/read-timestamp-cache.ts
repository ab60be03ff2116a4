/**
 * Up to which timestamp the keys of a range were read: no write may come below. The latest reads are known by key and by
 * span, so that a transaction that writes much, and takes its time, is not pushed by reads of something else; older keys
 * share hash buckets, older spans share one number. What is remembered too high only pushes writers up. Belongs to one
 * leaseholder and ends with it: below `floor` its predecessor may have served reads that it knows nothing of.
 */
import { assert } from '@flotilla/base';

const buckets = 4096;
/** Keys of one generation: the last one, and more, are known by name. Some 100 KB for a range that is read much. */
const generationKeys = 512;
/** Every write looks at all of them. */
const recentSpansMax = 32;
/** Several transactions read at exactly that timestamp, or one that is not known. */
const nobody = 0;

interface Read {
  timestamp: number;
  /** Who read there: a transaction may write at the timestamp of its own reads. */
  owner: number;
}

interface SpanRead extends Read {
  start: string;
  end: string;
}

export class ReadTimestampCache {
  /** Everything counts as read up to here. */
  private floor: number;
  private young: Map<string, Read> = new Map();
  private old: Map<string, Read> = new Map();
  private recentSpans: SpanRead[] = [];
  /** Of keys that are in no generation any more, by hash. */
  private keys: Float64Array | undefined;
  private owners: Float64Array | undefined;
  /** Of spans that are not recent any more: as if they were all keys. */
  private span: Read = { timestamp: 0, owner: nobody };

  constructor(floor: number) {
    this.floor = floor;
  }

  /** Everything counts as read up to there. */
  raise(timestamp: number): void {
    if (timestamp > this.floor) this.floor = timestamp;
  }

  /** A key was read at `timestamp` by the transaction. */
  bumpKey(name: string, timestamp: number, transaction: string): void {
    if (timestamp <= this.floor) return;
    const owner = ownerOf(transaction);
    const known = this.young.get(name);
    if (known !== undefined) {
      raise(known, timestamp, owner);
      return;
    }
    this.young.set(name, { timestamp, owner });
    if (this.young.size < generationKeys) return;
    for (const [key, read] of this.old) this.fold(key, read);
    this.old = this.young;
    this.young = new Map();
  }

  /** Keys from `start` on and before `end` were read, by names. */
  bumpSpan(start: string, end: string, timestamp: number, transaction: string): void {
    if (timestamp <= this.floor) return;
    const owner = ownerOf(transaction);
    const last = this.recentSpans.at(-1);
    // Batches of one scan join on, upwards or downwards.
    if (last !== undefined && last.timestamp === timestamp && last.owner === owner) {
      if (start <= last.end && last.start <= end) {
        if (start < last.start) last.start = start;
        if (end > last.end) last.end = end;
        return;
      }
    }
    this.recentSpans.push({ start, end, timestamp, owner });
    if (this.recentSpans.length <= recentSpansMax) return;
    const oldest = this.recentSpans.shift();
    if (oldest !== undefined) raise(this.span, oldest.timestamp, oldest.owner);
  }

  /** @returns the least timestamp at which the transaction may write the key */
  leastWrite(name: string, transaction: string): number {
    const owner = ownerOf(transaction);
    let least = Math.max(this.floor + 1, above(this.span, owner));
    for (const read of this.recentSpans)
      if (read.start <= name && name < read.end) least = Math.max(least, above(read, owner));
    least = Math.max(least, above(this.young.get(name), owner), above(this.old.get(name), owner));
    if (this.keys === undefined) return least;
    const bucket = bucketOf(name);
    const read = this.keys[bucket] ?? 0;
    return Math.max(least, this.owners?.[bucket] === owner ? read : read + 1);
  }

  /** For the right half of a range that is cut: it knows at least as much. */
  copy(): ReadTimestampCache {
    const copy = new ReadTimestampCache(this.floor);
    for (const [name, read] of this.young) copy.young.set(name, { ...read });
    for (const [name, read] of this.old) copy.old.set(name, { ...read });
    copy.recentSpans = this.recentSpans.map((read) => ({ ...read }));
    copy.keys = this.keys?.slice();
    copy.owners = this.owners?.slice();
    copy.span = { ...this.span };
    return copy;
  }

  private fold(name: string, { timestamp, owner }: Read): void {
    this.keys ??= new Float64Array(buckets);
    this.owners ??= new Float64Array(buckets);
    const bucket = bucketOf(name);
    const before = this.keys[bucket] ?? 0;
    if (timestamp < before) return;
    if (timestamp > before) {
      this.keys[bucket] = timestamp;
      this.owners[bucket] = owner;
    } else if (this.owners[bucket] !== owner) this.owners[bucket] = nobody;
  }
}

function raise(read: Read, timestamp: number, owner: number): void {
  if (timestamp < read.timestamp) return;
  if (timestamp > read.timestamp) read.owner = owner;
  else if (read.owner !== owner) read.owner = nobody;
  read.timestamp = timestamp;
}

/** The least timestamp that `owner` may write at, after such a read. */
function above(read: Read | undefined, owner: number): number {
  if (read === undefined || read.timestamp === 0) return 0;
  return read.owner === owner ? read.timestamp : read.timestamp + 1;
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
