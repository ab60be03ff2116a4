/**
 * Writes that a leaseholder has evaluated and not yet seen applied, by key: what evaluation must see besides the
 * engine. Never read by clients.
 */
import { asBuffer, compareBytes, type Span } from '@flotilla/base';

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
  private readonly entries = new Map<string, OverlayEntry>();

  get size(): number {
    return this.entries.size;
  }

  get(name: string): OverlayEntry | undefined {
    return this.entries.get(name);
  }

  set(name: string, entry: OverlayEntry): void {
    this.entries.set(name, entry);
  }

  /** The engine has the write of `timestamp`; a later one stays. */
  settle(key: Uint8Array, timestamp: number): void {
    const name = overlayKey(key);
    if (this.entries.get(name)?.timestamp === timestamp) this.entries.delete(name);
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
  }
}
