/** A binary heap of what will happen, by time and then by order of scheduling. Holds no meaning and runs nothing. */

export interface Ordered {
  /** True time. Unit: ms. */
  readonly at: number;
  readonly sequence: number;
}

export class EventHeap<T extends Ordered> {
  private readonly heap: T[] = [];

  get size(): number {
    return this.heap.length;
  }

  peek(): T | undefined {
    return this.heap[0];
  }

  push(item: T): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(item);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt];
      if (parent === undefined || isBefore(parent, item)) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = item;
  }

  pop(): T | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      let childAt = left;
      let child = heap[left];
      const right = heap[left + 1];
      if (right !== undefined && child !== undefined && isBefore(right, child)) {
        childAt = left + 1;
        child = right;
      }
      if (child === undefined || isBefore(last, child)) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Ordered, b: Ordered): boolean {
  return a.at === b.at ? a.sequence < b.sequence : a.at < b.at;
}
