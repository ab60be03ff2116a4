/**
 * Which writes have been delivered to this process: a network that delivers at most once may still double a frame and
 * deliver the copy much later. A copy of a write that took effect finds its serial in the session; a copy of one that
 * was *refused* finds nothing, and its client may have told its user by then that nothing was written. So the second
 * copy of any request is dropped. Retries are requests of their own and pass. Forgets with the process.
 */
import type { StoreLimits } from '../limits.ts';

type SeenLimits = Pick<StoreLimits, 'seenRequestsMax' | 'seenClientsMax'>;

/** Request ids of one client: the newest ones by name, and everything up to `floor`. */
interface Seen {
  young: Set<number>;
  old: Set<number>;
  floor: number;
}

export class SeenRequests {
  private readonly limits: SeenLimits;
  /** In order of first use of the younger half, roughly: the first is the next to be forgotten. */
  private readonly clients = new Map<string, Seen>();

  constructor(limits: SeenLimits) {
    this.limits = limits;
  }

  /**
   * Notes a delivery. O(1).
   * @returns false: seen before, or so old that it cannot be told
   */
  isNew(clientId: string, requestId: number): boolean {
    const seen = this.clients.get(clientId) ?? this.meet(clientId);
    if (requestId <= seen.floor || seen.young.has(requestId) || seen.old.has(requestId))
      return false;
    seen.young.add(requestId);
    if (seen.young.size >= this.limits.seenRequestsMax) this.age(clientId, seen);
    return true;
  }

  /** The older half is forgotten by name: nothing up to its greatest id is taken any more. */
  private age(clientId: string, seen: Seen): void {
    for (const requestId of seen.old) if (requestId > seen.floor) seen.floor = requestId;
    seen.old = seen.young;
    seen.young = new Set();
    this.clients.delete(clientId);
    this.clients.set(clientId, seen);
  }

  private meet(clientId: string): Seen {
    if (this.clients.size >= this.limits.seenClientsMax)
      for (const longest of this.clients.keys()) {
        this.clients.delete(longest);
        break;
      }
    const seen: Seen = { young: new Set(), old: new Set(), floor: 0 };
    this.clients.set(clientId, seen);
    return seen;
  }
}
