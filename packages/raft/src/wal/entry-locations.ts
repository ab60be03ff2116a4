/**
 * Where the entries of one group's log lie on disk: three numbers per entry in typed arrays, so that a million entries
 * cost 12 MB and no garbage. A queue with truncation: grows at the end, shrinks at both.
 */
import { assert } from '@flotilla/base';

export class EntryLocations {
  private segments: Uint32Array = new Uint32Array(8);
  private offsets: Uint32Array = new Uint32Array(8);
  private lengths: Uint32Array = new Uint32Array(8);
  private head = 0;
  private count = 0;

  get size(): number {
    return this.count;
  }

  segment(i: number): number {
    return this.segments[this.head + i] ?? 0;
  }
  offset(i: number): number {
    return this.offsets[this.head + i] ?? 0;
  }
  /** Bytes of the record. */
  length(i: number): number {
    return this.lengths[this.head + i] ?? 0;
  }

  push(segment: number, offset: number, length: number): void {
    if (this.head + this.count === this.segments.length) this.makeRoom();
    this.put(this.count++, segment, offset, length);
  }

  set(i: number, segment: number, offset: number, length: number): void {
    assert(i >= 0 && i < this.count, 'location is in the queue', { i });
    this.put(i, segment, offset, length);
  }

  dropFirst(count: number): void {
    assert(count <= this.count, 'no more is dropped than there is', { count });
    this.head += count;
    this.count -= count;
    if (this.count === 0) this.head = 0;
  }

  dropLast(count: number): void {
    assert(count <= this.count, 'no more is dropped than there is', { count });
    this.count -= count;
  }

  private put(i: number, segment: number, offset: number, length: number): void {
    const at = this.head + i;
    this.segments[at] = segment;
    this.offsets[at] = offset;
    this.lengths[at] = length;
  }

  /** Moves to the front if that gives back at least half, otherwise doubles. */
  private makeRoom(): void {
    const { head, count } = this;
    const capacity = head >= count ? this.segments.length : this.segments.length * 2;
    const moved = (from: Uint32Array): Uint32Array => {
      const to = new Uint32Array(capacity);
      to.set(from.subarray(head, head + count));
      return to;
    };
    this.segments = moved(this.segments);
    this.offsets = moved(this.offsets);
    this.lengths = moved(this.lengths);
    this.head = 0;
  }
}
