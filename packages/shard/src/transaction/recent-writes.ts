/**
 * The latest writes of a range that transactions read, so that "was any of this written since?" needs no look at data and
 * history. The last some thousand are known one by one, of older ones about where they were. Belongs to one leaseholder;
 * noted when a write is evaluated. Kept only while somebody asks: a range that nobody reads in transactions pays one
 * comparison per write.
 */
import { OlderWrites } from './older-writes.ts';

const entriesDefault = 4096;

export class RecentWrites {
  /** Writes at or below it may be missing. */
  private readonly floor: number;
  private readonly older = new OlderWrites();
  private readonly names: string[] = [];
  private readonly timestamps: number[] = [];
  private readonly newest = new Map<string, number>();
  /** Where the next entry goes, once the ring is full. */
  private next = 0;

  private readonly entriesMax: number;

  /** @param floor not below the timestamp of any write of before */
  constructor(floor: number, entriesMax: number = entriesDefault) {
    this.floor = floor;
    this.entriesMax = entriesMax;
  }

  add(name: string, timestamp: number): void {
    const { names, timestamps, newest, entriesMax } = this;
    if (names.length < entriesMax) {
      names.push(name);
      timestamps.push(timestamp);
    } else {
      const oldName = names[this.next] ?? '';
      const oldTimestamp = timestamps[this.next] ?? 0;
      this.older.add(oldName, oldTimestamp);
      if (newest.get(oldName) === oldTimestamp) newest.delete(oldName);
      names[this.next] = name;
      timestamps[this.next] = timestamp;
      this.next = (this.next + 1) % entriesMax;
    }
    newest.set(name, timestamp);
  }

  /** Of the key's newest write, if it is among these; else 0. */
  newestOf(name: string): number {
    return this.newest.get(name) ?? 0;
  }

  /** Writes of the key up to here may be missing. */
  missesUpTo(name: string): number {
    return Math.max(this.floor, this.older.ofKey(name));
  }

  /** Whether every write of the key above `since` is among these. */
  knowsKey(name: string, since: number): boolean {
    return since >= this.missesUpTo(name);
  }

  /** Whether every write above `since` to a key in [start, end) is among these. */
  knowsSpan(start: string, end: string, since: number): boolean {
    return since >= this.floor && since >= this.older.ofSpan(start, end);
  }

  /** @returns the timestamp of a write of the key in (since, upTo], or 0 */
  findKey(name: string, since: number, upTo: number): number {
    const newest = this.newest.get(name);
    if (newest === undefined || newest <= since) return 0;
    if (newest <= upTo) return newest;
    return this.find(since, upTo, (other) => other === name);
  }

  /** @returns the timestamp of a write in (since, upTo] to a key in [start, end), or 0 */
  findSpan(start: string, end: string, since: number, upTo: number): number {
    return this.find(since, upTo, (name) => start <= name && name < end);
  }

  private find(since: number, upTo: number, matches: (name: string) => boolean): number {
    const { timestamps, names } = this;
    for (let i = 0; i < timestamps.length; i++) {
      const timestamp = timestamps[i] ?? 0;
      if (timestamp > since && timestamp <= upTo && matches(names[i] ?? '')) return timestamp;
    }
    return 0;
  }
}
