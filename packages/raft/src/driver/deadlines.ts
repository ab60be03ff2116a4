/**
 * When which group wants its next tick: a binary heap with at most about two nodes per group. A deadline that moves
 * later (every heartbeat moves a follower's) costs nothing until its old node comes up.
 */

export interface Deadlined {
  /** When this group wants its next tick, ms; Infinity = never. */
  deadline: number;
  /** Deadline of its earliest node in the heap; Infinity = none. */
  armedAt: number;
}

interface Node<T> {
  readonly at: number;
  readonly item: T;
}

export class Deadlines<T extends Deadlined> {
  private readonly heap: Node<T>[] = [];

  /** Takes note of `item.deadline`. O(log n), and O(1) where it moved later. */
  update(item: T): void {
    if (item.deadline >= item.armedAt) return; // its node is early enough and will look again
    item.armedAt = item.deadline;
    this.push({ at: item.deadline, item });
  }

  /** A lower bound of the next deadline; Infinity if there is none. */
  next(): number {
    return this.heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  /** Takes out items whose deadline has come, the oldest first. */
  takeDue(now: number, itemsMax: number): T[] {
    const due: T[] = [];
    for (let top = this.heap[0]; top !== undefined && top.at <= now; top = this.heap[0]) {
      if (due.length === itemsMax) break;
      this.pop();
      const { item, at } = top;
      if (item.armedAt !== at) continue; // an earlier node took its place
      item.armedAt = Number.POSITIVE_INFINITY;
      if (item.deadline <= now) due.push(item);
      else if (item.deadline < Number.POSITIVE_INFINITY) this.update(item);
    }
    return due;
  }

  private push(node: Node<T>): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(node);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt];
      if (parent === undefined || parent.at <= node.at) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = node;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      let childAt = left;
      let child = heap[left];
      const right = heap[left + 1];
      if (right !== undefined && child !== undefined && right.at < child.at) {
        childAt = left + 1;
        child = right;
      }
      if (child === undefined || child.at >= last.at) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
  }
}
