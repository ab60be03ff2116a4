/**
 * What a get of one key needs to know of the ranges that this store serves, in two typed arrays. Replica, descriptor, keys and
 * maps of one range among thousands are in no cache, and a get that looked at them would wait for memory some twenty times;
 * here it looks at two or three lines. Each replica keeps its own row and says when it must not be served without asking it.
 * Whatever is not found here goes by way of the replica.
 */
import { assert } from '@flotilla/base';
import { boundsGeneration, type RangeDescriptor } from '../range-descriptor.ts';

/** Numbers per row: range id (0 = free), least generation, greatest generation (-1 = hidden), storage id. */
const rowNumbers = 4;
/** Per row: length of the start key, length of the end key, start key, end key. Ranges with longer keys are not shown. */
const rowBytes = 128;
const hidden = -1;
const rowsLeast = 16;

export class ServedRanges {
  /** Open addressing with linear probing; a power of two of rows, at most half of them used. */
  private rows: Float64Array = new Float64Array(rowsLeast * rowNumbers);
  private bounds: Uint8Array = new Uint8Array(rowsLeast * rowBytes);
  private mask = rowsLeast - 1;
  /** With those that are hidden: they go when the table is made anew. */
  private used = 0;
  private shown = 0;

  /**
   * Where the newest version of the key lies, if this store leads its range, nothing is in the way of a read, and the request
   * is of a generation that knows the bounds.
   * @returns the storage id; 0: the replica must be asked
   */
  storageOf(rangeId: number, generation: number, key: Uint8Array): number {
    const row = this.rowOf(rangeId);
    const at = row * rowNumbers;
    const { rows, bounds } = this;
    if (rows[at] !== rangeId) return 0;
    if (generation < (rows[at + 1] as number) || generation > (rows[at + 2] as number)) return 0;
    const from = row * rowBytes;
    const startLength = bounds[from] as number;
    const endLength = bounds[from + 1] as number;
    if (order(bounds, from + 2, startLength, key) > 0) return 0;
    if (order(bounds, from + 2 + startLength, endLength, key) <= 0) return 0;
    return rows[at + 3] as number;
  }

  /** The range is led here, and gets of its keys need not ask the replica. */
  show(descriptor: RangeDescriptor, storageId: number): void {
    const { rangeId, startKey, endKey, generation } = descriptor;
    if (2 + startKey.length + endKey.length > rowBytes) {
      this.hide(rangeId);
      return;
    }
    const row = this.takeRow(rangeId);
    const at = row * rowNumbers;
    const { rows, bounds } = this;
    if (rows[at + 2] === hidden) this.shown++;
    rows[at + 1] = boundsGeneration(descriptor);
    rows[at + 2] = generation;
    rows[at + 3] = storageId;
    const from = row * rowBytes;
    bounds[from] = startKey.length;
    bounds[from + 1] = endKey.length;
    bounds.set(startKey, from + 2);
    bounds.set(endKey, from + 2 + startKey.length);
  }

  /** Gets of its keys go by way of the replica, if there is one. */
  hide(rangeId: number): void {
    const at = this.rowOf(rangeId) * rowNumbers;
    const { rows } = this;
    if (rows[at] !== rangeId || rows[at + 2] === hidden) return;
    rows[at + 2] = hidden;
    this.shown--;
  }

  private takeRow(rangeId: number): number {
    assert(Number.isSafeInteger(rangeId) && rangeId > 0, 'a range id is a safe integer above 0');
    const found = this.rowOf(rangeId);
    if (this.rows[found * rowNumbers] === rangeId) return found;
    if ((this.used + 1) * 2 > this.mask + 1) this.makeAnew();
    const row = this.rowOf(rangeId);
    this.rows[row * rowNumbers] = rangeId;
    this.rows[row * rowNumbers + 2] = hidden;
    this.used++;
    return row;
  }

  /** With room for twice as many as are shown. */
  private makeAnew(): void {
    const { rows, bounds } = this;
    let count = rowsLeast;
    while (count < (this.shown + 1) * 4) count *= 2;
    this.rows = new Float64Array(count * rowNumbers);
    this.bounds = new Uint8Array(count * rowBytes);
    this.mask = count - 1;
    this.used = this.shown;
    for (let row = 0; row * rowNumbers < rows.length; row++) {
      const at = row * rowNumbers;
      if (rows[at] === 0 || rows[at + 2] === hidden) continue;
      const to = this.rowOf(rows[at] as number);
      this.rows.set(rows.subarray(at, at + rowNumbers), to * rowNumbers);
      this.bounds.set(bounds.subarray(row * rowBytes, (row + 1) * rowBytes), to * rowBytes);
    }
  }

  /** Where the range is, or would be. */
  private rowOf(rangeId: number): number {
    const { rows, mask } = this;
    // The low bits of ids may be alike, so all bits have a say. Fibonacci hashing.
    const mixed = Math.imul((rangeId | 0) ^ ((rangeId / 0x1_0000_0000) | 0), 0x9e37_79b1);
    let row = (mixed ^ (mixed >>> 15)) & mask;
    while (rows[row * rowNumbers] !== rangeId && rows[row * rowNumbers] !== 0)
      row = (row + 1) & mask;
    return row;
  }
}

/** As `compareBytes`, of bytes that lie in the table. By hand: a call for a few bytes costs more than they do. */
function order(table: Uint8Array, at: number, length: number, key: Uint8Array): number {
  const common = Math.min(length, key.length);
  for (let i = 0; i < common; i++) {
    const difference = (table[at + i] as number) - (key[i] as number);
    if (difference !== 0) return difference;
  }
  return length - key.length;
}
