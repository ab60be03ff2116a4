/**
 * When operations of an offered rate begin: evenly, and never fewer because the ones before are slow. A latency counts
 * from when its operation should have begun, so that a pause is felt by all who came meanwhile and not by one alone
 * ("coordinated omission"). Knows no clock: the caller says what time it is.
 */

export class Arrivals {
  private readonly perMs: number;
  private begun = 0;
  private readonly from: number;

  /** @param perSecond > 0 @param from when the first is due. Unit: ms */
  constructor(perSecond: number, from: number) {
    if (!(perSecond > 0)) throw new RangeError('a rate is greater than 0');
    this.perMs = perSecond / 1000;
    this.from = from;
  }

  /** Takes the next operation that is due. @returns when it was, undefined if none is yet. Unit: ms */
  take(now: number): number | undefined {
    const due = this.from + this.begun / this.perMs;
    if (due > now) return undefined;
    this.begun++;
    return due;
  }

  /** Operations that are due and that nobody has taken. */
  waiting(now: number): number {
    return Math.max(0, Math.floor((now - this.from) * this.perMs) + 1 - this.begun);
  }
}
