/**
 * A map from ids that are counted up to what they stand for, for entries that come and go many thousand times a second.
 * Open addressing with linear probing. Used instead of a `Map` for the reason that `timed-set.ts` gives: nothing that
 * this lets go of points to anything.
 */

const capacityLeast = 64;
/** An empty table that had to be larger than this begins anew. */
const capacityKept = 4096;

export class IdTable<Value> {
  /** 0 = free. As long as `values`, a power of two, and at most half of it used. */
  private ids: Float64Array = new Float64Array(capacityLeast);
  private values: (Value | undefined)[] = freeValues(capacityLeast);
  private count = 0;

  get size(): number {
    return this.count;
  }

  get(id: number): Value | undefined {
    return this.values[this.slotOf(id)];
  }

  /** @param id a safe integer above 0; what it stood for before is replaced */
  set(id: number, value: Value): void {
    const slot = this.slotOf(id);
    if (this.ids[slot] === id) {
      this.values[slot] = value;
      return;
    }
    this.ids[slot] = id;
    this.values[slot] = value;
    this.count++;
    if (this.count * 2 > this.values.length) this.resize(this.values.length * 2);
  }

  delete(id: number): void {
    const { ids, values } = this;
    const mask = values.length - 1;
    let hole = this.slotOf(id);
    if (ids[hole] !== id) return;
    // Whoever was pushed on by what has been here moves up, so that no search ends too early.
    for (let slot = (hole + 1) & mask; ids[slot] !== 0; slot = (slot + 1) & mask) {
      const home = (ids[slot] ?? 0) & mask;
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      ids[hole] = ids[slot] ?? 0;
      values[hole] = values[slot];
      hole = slot;
    }
    ids[hole] = 0;
    values[hole] = undefined;
    this.count--;
    if (this.count === 0 && values.length > capacityKept) this.resize(capacityLeast);
  }

  /** In no order, as they are now. */
  all(): Value[] {
    return this.values.filter((value) => value !== undefined) as Value[];
  }

  /** Where the id is, or would be. */
  private slotOf(id: number): number {
    const { ids } = this;
    const mask = ids.length - 1;
    let slot = id & mask;
    while (ids[slot] !== id && ids[slot] !== 0) slot = (slot + 1) & mask;
    return slot;
  }

  private resize(capacity: number): void {
    const { ids, values } = this;
    this.ids = new Float64Array(capacity);
    this.values = freeValues(capacity);
    this.count = 0;
    for (let slot = 0; slot < values.length; slot++) {
      const value = values[slot];
      if (value !== undefined) this.set(ids[slot] ?? 0, value);
    }
  }
}

function freeValues<Value>(capacity: number): (Value | undefined)[] {
  return new Array<Value | undefined>(capacity).fill(undefined);
}
