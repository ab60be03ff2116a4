/**
 * Which keys a load asks for when some are asked for much more than others. Zipf's law with exponent 0.99, as YCSB has it
 * (Cooper et al., 2010, §4.2): the k-th most popular of n is chosen with a probability in proportion to 1 / k^0.99.
 */

const exponent = 0.99;

/** Chooses ranks by Zipf's law. Exact, by its cumulative distribution: 8 bytes per item, O(log n) per choice. */
export class Zipfian {
  private readonly cumulative: Float64Array;
  private readonly random: () => number;

  /** @param items how many, >= 1 @param random numbers in [0, 1) */
  constructor(items: number, random: () => number) {
    if (!(Number.isSafeInteger(items) && items >= 1))
      throw new RangeError('a choice is among at least one item');
    this.random = random;
    this.cumulative = new Float64Array(items);
    let sum = 0;
    for (let rank = 0; rank < items; rank++) {
      sum += 1 / (rank + 1) ** exponent;
      this.cumulative[rank] = sum;
    }
  }

  /** @returns a rank in [0, items), 0 the most popular */
  next(): number {
    const { cumulative } = this;
    const wanted = this.random() * (cumulative[cumulative.length - 1] ?? 0);
    let low = 0;
    let high = cumulative.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((cumulative[middle] ?? 0) > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** Of ranks to places in the order of keys, one to one: what is popular must not lie side by side. */
export function scattered(rank: number, items: number): number {
  // A prime that divides no number of items in use, so that the multiples go through all places.
  const step = 1_000_003;
  return (rank * step) % items;
}
