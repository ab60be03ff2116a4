/** Virtual time: callbacks in the order of their moments, ties in the order of scheduling. A binary heap. */
import { assert } from '@flotilla/base';

interface Event {
  readonly at: number;
  readonly sequence: number;
  readonly run: () => void;
}

export class EventQueue {
  private readonly heap: Event[] = [];
  private sequence = 0;
  private now = 0;

  /** Milliseconds since the start of the run, true time. */
  nowMs(): number {
    return this.now;
  }

  schedule(delayMs: number, run: () => void): void {
    assert(delayMs >= 0, 'events lie in the future', { delayMs });
    const event = { at: this.now + delayMs, sequence: this.sequence++, run };
    const { heap } = this;
    let child = heap.length;
    heap.push(event);
    while (child > 0) {
      const parent = (child - 1) >> 1;
      const above = heap[parent] as Event;
      if (!isBefore(event, above)) break;
      heap[child] = above;
      child = parent;
    }
    heap[child] = event;
  }

  /** Runs the next event if it is due by `untilMs`; otherwise moves time there and says false. */
  runNext(untilMs: number): boolean {
    const next = this.heap[0];
    if (next === undefined || next.at > untilMs) {
      this.now = Math.max(this.now, untilMs);
      return false;
    }
    this.removeFirst();
    this.now = next.at;
    next.run();
    return true;
  }

  private removeFirst(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let parent = 0;
    for (;;) {
      let child = parent * 2 + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as Event)) child++;
      const smaller = heap[child] as Event;
      if (!isBefore(smaller, last)) break;
      heap[parent] = smaller;
      parent = child;
    }
    heap[parent] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
}
