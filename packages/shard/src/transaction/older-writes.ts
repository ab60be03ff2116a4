/**
 * Writes that are not remembered one by one any more, by the beginnings of their names: so that what is written in one part
 * of a range, however much, says nothing of the others, where another table lies. Never too low, often too high. Bounded:
 * where there are too many beginnings they become shorter, in the end empty, which is one timestamp for all.
 */
const lengthMax = 12;
const beginningsMax = 256;

export class OlderWrites {
  private length = lengthMax;
  private newest = new Map<string, number>();

  add(name: string, timestamp: number): void {
    raise(this.newest, name.slice(0, this.length), timestamp);
    while (this.newest.size > beginningsMax) this.shorten();
  }

  /** @returns a timestamp at or above that of any write of the key; 0: there was none */
  ofKey(name: string): number {
    return this.newest.get(name.slice(0, this.length)) ?? 0;
  }

  /** @returns as `ofKey`, for keys in [start, end) */
  ofSpan(start: string, end: string): number {
    let found = 0;
    for (const [beginning, timestamp] of this.newest) {
      const isApart = beginning >= end || (beginning < start && !start.startsWith(beginning));
      if (!isApart && timestamp > found) found = timestamp;
    }
    return found;
  }

  private shorten(): void {
    const before = this.newest;
    this.newest = new Map();
    this.length--;
    for (const [name, timestamp] of before)
      raise(this.newest, name.slice(0, this.length), timestamp);
  }
}

function raise(newest: Map<string, number>, beginning: string, timestamp: number): void {
  if (timestamp > (newest.get(beginning) ?? 0)) newest.set(beginning, timestamp);
}
