/**
 * A random sample of rows as they are stored: every row has the same chance to be in it, however many there are. Samples of
 * disjoint sets of rows can be put together into one of all of them. Chance comes from a seed, so that a store needs none of
 * its own.
 */
import { type Prng, SeededPrng } from '@flotilla/base';

export interface StoredRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export class RowSample {
  /** Of how many rows it is a sample. */
  of = 0;
  private kept: StoredRow[] = [];
  private bytes = 0;
  private capacity: number;
  private readonly bytesMax: number;
  private readonly prng: Prng;

  /** @param bytesMax of keys and values: it holds fewer rows where they are large */
  constructor(capacity: number, bytesMax: number, seed: number) {
    this.capacity = capacity;
    this.bytesMax = bytesMax;
    this.prng = new SeededPrng(seed);
  }

  get rows(): readonly StoredRow[] {
    return this.kept;
  }

  /** What is kept is copied: the bytes may be somebody's view. */
  add(key: Uint8Array, value: Uint8Array): void {
    this.of++;
    if (this.kept.length < this.capacity) this.keep(key, value);
    else {
      const place = this.prng.nextBelow(this.of);
      if (place >= this.capacity) return;
      this.dropAt(place);
      this.keep(key, value);
    }
    this.fit();
  }

  /** @param other of rows that this one has not seen; a sample of `of` rows */
  merge({ of, rows }: { readonly of: number; readonly rows: readonly StoredRow[] }): void {
    const [mine, theirs] = [this.kept, [...rows]];
    let [left, right] = [this.of, of];
    const size = Math.min(this.capacity, mine.length + theirs.length);
    this.of += of;
    this.kept = [];
    this.bytes = 0;
    while (this.kept.length < size && mine.length + theirs.length > 0) {
      const isMine = this.prng.nextFloat() * (left + right) < left;
      // A sample that is smaller than its share is used up before.
      const from = (isMine && mine.length > 0) || theirs.length === 0 ? mine : theirs;
      if (isMine) left--;
      else right--;
      const place = this.prng.nextBelow(from.length);
      const row = from[place];
      const last = from.pop();
      if (row === undefined || last === undefined) break;
      if (place < from.length) from[place] = last;
      this.keep(row.key, row.value);
    }
    this.fit();
  }

  private keep(key: Uint8Array, value: Uint8Array): void {
    this.kept.push({ key: Uint8Array.from(key), value: Uint8Array.from(value) });
    this.bytes += key.length + value.length;
  }

  private dropAt(place: number): void {
    const row = this.kept[place];
    const last = this.kept.pop();
    if (row === undefined || last === undefined) return;
    if (place < this.kept.length) this.kept[place] = last;
    this.bytes -= row.key.length + row.value.length;
  }

  /** Where the rows are too large, any of them go, so that the rest is a sample still. */
  private fit(): void {
    if (this.bytes <= this.bytesMax) return;
    this.capacity = Math.max(1, Math.floor(this.kept.length * 0.8));
    while (this.kept.length > this.capacity) this.dropAt(this.prng.nextBelow(this.kept.length));
  }
}
