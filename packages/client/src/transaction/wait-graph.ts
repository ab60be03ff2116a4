/**
 * Who waits for whom, as far as this process knows: its own transactions from their own waits, others from what
 * leaseholders tell those who wait. Finds cycles. Edges of others may be out of date, so a cycle counts only when it is
 * still there at the next look. Pure bookkeeping: sends nothing, knows no clock.
 */
import type { WaitEdge } from '@flotilla/router';

export interface Waiter {
  readonly id: string;
  readonly startedAt: number;
}

export class WaitGraph {
  /** Edges by waiter, of transactions of this process. */
  private readonly own = new Map<string, readonly WaitEdge[]>();
  /** What one of our waiters was told of others, by that waiter. */
  private readonly told = new Map<string, readonly WaitEdge[]>();

  /** `waiter` waits for these now, and was told of those edges. */
  set(waiter: Waiter, holders: readonly Waiter[], told: readonly WaitEdge[]): void {
    const edges = holders
      .filter(({ id }) => id !== '' && id !== waiter.id)
      .map((holder) => ({
        waiter: waiter.id,
        waiterStartedAt: waiter.startedAt,
        holder: holder.id,
        holderStartedAt: holder.startedAt,
      }));
    this.own.set(waiter.id, edges);
    this.told.set(waiter.id, told);
  }

  clear(waiterId: string): void {
    this.own.delete(waiterId);
    this.told.delete(waiterId);
  }

  /** For whom it waits, and what it learned of for whom those wait. */
  edgesOf(waiterId: string): readonly WaitEdge[] {
    return [...(this.own.get(waiterId) ?? []), ...(this.told.get(waiterId) ?? [])];
  }

  /** A cycle through `waiter`, without it at the end: who waits for whom in order. Undefined: none is known. */
  cycleThrough(waiter: Waiter): readonly Waiter[] | undefined {
    const successors = this.edgesByWaiter();
    const path: Waiter[] = [waiter];
    const seen = new Set<string>([waiter.id]);
    const visit = (id: string): boolean => {
      for (const edge of successors.get(id) ?? []) {
        if (edge.holder === waiter.id) return true;
        if (seen.has(edge.holder)) continue;
        seen.add(edge.holder);
        path.push({ id: edge.holder, startedAt: edge.holderStartedAt });
        if (visit(edge.holder)) return true;
        path.pop();
      }
      return false;
    };
    return visit(waiter.id) ? path : undefined;
  }

  private edgesByWaiter(): Map<string, WaitEdge[]> {
    const byWaiter = new Map<string, WaitEdge[]>();
    const add = (edge: WaitEdge): void => {
      const edges = byWaiter.get(edge.waiter);
      if (edges === undefined) byWaiter.set(edge.waiter, [edge]);
      else edges.push(edge);
    };
    for (const edges of this.own.values()) for (const edge of edges) add(edge);
    // Of our own transactions we know better than what others were told.
    for (const edges of this.told.values())
      for (const edge of edges) if (!this.own.has(edge.waiter)) add(edge);
    return byWaiter;
  }
}

/** Who gives way: the youngest, and of equals the one with the greatest id. */
export function victimOf(cycle: readonly Waiter[]): Waiter | undefined {
  let victim: Waiter | undefined;
  for (const waiter of cycle)
    if (
      victim === undefined ||
      waiter.startedAt > victim.startedAt ||
      (waiter.startedAt === victim.startedAt && waiter.id > victim.id)
    )
      victim = waiter;
  return victim;
}
