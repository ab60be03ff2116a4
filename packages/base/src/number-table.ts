/**
 * A map from ids to numbers in one typed array: a look-up of one of thousands touches a line or two of memory, where a `Map`
 * of objects touches one for its bucket, its entry, the object and the number. For facts that are asked for far more often
 * than they change. Open addressing with linear probing.
 */
import { assert } from './assert.ts';

const capacityLeast = 16;

export class NumberTable {
  private readonly absent: number;
  /** Pairs of id and number; id 0 = free. A power of two of them, at most half of it used. */
  private pairs: Float64Array = new Float64Array(2 * capacityLeast);
  private count = 0;

  /** @param absent what every id stands for that is not in the table */
  constructor(absent: number) {
    this.absent = absent;
  }

  get size(): number {
    return this.count;
  }

  get(id: number): number {
    const at = this.slotOf(id);
    return this.pairs[at] === id ? (this.pairs[at + 1] as number) : this.absent;
  }

  /** @param id a safe integer above 0 */
  set(id: number, value: number): void {
    assert(id > 0, 'an id is above 0');
    const at = this.slotOf(id);
    if (this.pairs[at] === id) {
      this.pairs[at + 1] = value;
      return;
    }
    assert(Number.isSafeInteger(id), 'an id is a safe integer', { id });
    this.pairs[at] = id;
    this.pairs[at + 1] = value;
    this.count++;
    if (this.count * 4 > this.pairs.length) this.resize(this.pairs.length * 2);
  }

  delete(id: number): void {
    const { pairs } = this;
    const mask = pairs.length - 1;
    let hole = this.slotOf(id);
    if (pairs[hole] !== id) return;
    // Whoever was pushed on by what has been here moves up, so that no search ends too early.
    for (let at = (hole + 2) & mask; pairs[at] !== 0; at = (at + 2) & mask) {
      const home = this.homeOf(pairs[at] as number);
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      pairs[hole] = pairs[at] as number;
      pairs[hole + 1] = pairs[at + 1] as number;
      hole = at;
    }
    pairs[hole] = 0;
    this.count--;
  }

  /** Keeps its room. */
  clear(): void {
    this.pairs.fill(0);
    this.count = 0;
  }

  private homeOf(id: number): number {
    // The low bits of ids may be alike, so all bits have a say. Fibonacci hashing.
    const mixed = Math.imul((id | 0) ^ ((id / 0x1_0000_0000) | 0), 0x9e37_79b1);
    return ((mixed ^ (mixed >>> 15)) << 1) & (this.pairs.length - 1);
  }

  /** Where the id is, or would be. */
  private slotOf(id: number): number {
    const { pairs } = this;
    const mask = pairs.length - 1;
    let at = this.homeOf(id);
    while (pairs[at] !== id && pairs[at] !== 0) at = (at + 2) & mask;
    return at;
  }

  private resize(length: number): void {
    const { pairs } = this;
    this.pairs = new Float64Array(length);
    this.count = 0;
    for (let at = 0; at < pairs.length; at += 2)
      if (pairs[at] !== 0) this.set(pairs[at] as number, pairs[at + 1] as number);
  }
}
