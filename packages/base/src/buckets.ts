/** How long something took, counted by how long: what a histogram is made of. One observation is a few comparisons. */

/** Upper bounds, ascending. Unit: ms. From a tenth of a millisecond, each some 2.5 times the one before. */
export const durationBoundsMs: readonly number[] = [
  0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000,
];

export class Buckets {
  readonly bounds: readonly number[];
  /** Observations at or below each bound and above the one before; the last: above all. */
  readonly counts: number[];
  count = 0;
  sum = 0;

  constructor(bounds: readonly number[] = durationBoundsMs) {
    this.bounds = bounds;
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    const { bounds, counts } = this;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] ?? 0)) at++;
    counts[at] = (counts[at] ?? 0) + 1;
    this.count++;
    this.sum += value;
  }
}
