/**
 * Writes that a leaseholder has evaluated and not yet seen applied, by key: what evaluation must see besides the
 * engine. Never read by clients.
 */
import { asBuffer, compareBytes, type Span } from '@flotilla/base';
import { NameTable } from '../state/name-table.ts';

export interface OverlayEntry {
  readonly key: Uint8Array;
  /** Stored form; undefined = deleted. */
  readonly stored: Buffer | undefined;
  readonly timestamp: number;
}

export function overlayKey(key: Uint8Array): string {
  return asBuffer(key).toString('latin1');
}

export class Overlay {
  private readonly entries = new NameTable<OverlayEntry>();
  /** Of keys with several writes under way: timestamps of all but the newest, in order. */
  private readonly earlier = new NameTable<number[]>();

  get size(): number {
    return this.entries.size;
  }

  get(name: string): OverlayEntry | undefined {
    return this.entries.get(name);
  }

  /** Timestamp of the first write of the key that the engine does not have; undefined: it has all. */
  firstUnderWay(name: string): number | undefined {
    return this.earlier.get(name)?.[0] ?? this.entries.get(name)?.timestamp;
  }

  set(name: string, entry: OverlayEntry): void {
    const before = this.entries.get(name);
    if (before !== undefined) {
      const earlier = this.earlier.get(name);
      if (earlier === undefined) this.earlier.set(name, [before.timestamp]);
      else earlier.push(before.timestamp);
    }
    this.entries.set(name, entry);
  }

  /** The engine has the write of `timestamp`, and those before it; a later one stays. */
  settle(key: Uint8Array, timestamp: number): void {
    const name = overlayKey(key);
    if (this.entries.get(name)?.timestamp === timestamp) {
      this.entries.delete(name);
      this.earlier.delete(name);
      return;
    }
    const earlier = this.earlier.get(name);
    if (earlier === undefined) return;
    while (earlier.length > 0 && (earlier[0] ?? Infinity) <= timestamp) earlier.shift();
    if (earlier.length === 0) this.earlier.delete(name);
  }

  /** Entries in a span, sorted. Cost: linear in the overlay. */
  within(span: Span): OverlayEntry[] {
    const found: OverlayEntry[] = [];
    for (const entry of this.entries.values())
      if (compareBytes(span.startKey, entry.key) <= 0 && compareBytes(entry.key, span.endKey) < 0)
        found.push(entry);
    return found.sort((a, b) => compareBytes(a.key, b.key));
  }

  clear(): void {
    this.entries.clear();
    this.earlier.clear();
  }
}
