/** Locks of a pretended leaseholder: first come, first served per key, re-entrant, exclusive or shared. */
import { toHex } from '@flotilla/base';
import type { WaitEdge } from '../transaction/transaction-api.ts';

export interface Owner {
  readonly id: string;
  readonly startedAt: number;
}

interface LockState {
  readonly holders: Map<string, { owner: Owner; exclusive: boolean }>;
  readonly queue: { owner: Owner; exclusive: boolean; askedAtMs: number }[];
}

/** Who has not asked for so long has given its place up. Unit: ms. */
const placeKeptMs = 1000;
/** Locks that were not renewed for so long are gone. Unit: ms. */
const lockKeptMs = 5000;

export class FakeLocks {
  private readonly locks = new Map<string, LockState>();
  private readonly renewedAt = new Map<string, number>();
  private readonly edges = new Map<string, readonly WaitEdge[]>();

  /** @returns who is in front; [] = the lock is held now */
  acquire(key: Uint8Array, owner: Owner, exclusive: boolean, nowMs: number): readonly Owner[] {
    const state = this.state(key, nowMs);
    const held = state.holders.get(owner.id);
    if (held !== undefined && (held.exclusive || !exclusive)) return [];
    let place = state.queue.find((waiting) => waiting.owner.id === owner.id);
    if (place === undefined) {
      place = { owner, exclusive, askedAtMs: nowMs };
      state.queue.push(place);
    }
    place.askedAtMs = nowMs;
    const front = this.inFront(state, place);
    if (front.length > 0) return front;
    state.queue.splice(state.queue.indexOf(place), 1);
    state.holders.set(owner.id, { owner, exclusive });
    this.renewedAt.set(owner.id, nowMs);
    return [];
  }

  /** Who keeps a write of `id` ('' = outside of transactions) out. */
  inTheWay(key: Uint8Array, id: string, nowMs: number): readonly Owner[] {
    const { holders } = this.state(key, nowMs);
    return [...holders.values()].filter(({ owner }) => owner.id !== id).map(({ owner }) => owner);
  }

  giveUpPlace(key: Uint8Array, id: string): void {
    const state = this.locks.get(toHex(key));
    const index = state?.queue.findIndex(({ owner }) => owner.id === id) ?? -1;
    if (index >= 0) state?.queue.splice(index, 1);
  }

  release(id: string, keyIn: (key: string) => boolean = () => true): void {
    for (const [key, { holders }] of this.locks) if (keyIn(key)) holders.delete(id);
  }

  /** As if leases had moved. */
  loseAll(): void {
    this.locks.clear();
  }

  renew(id: string, edges: readonly WaitEdge[], nowMs: number): void {
    this.renewedAt.set(id, nowMs);
    this.edges.set(id, edges);
  }

  isAlive(id: string, nowMs: number): boolean {
    const renewed = this.renewedAt.get(id);
    return renewed !== undefined && nowMs - renewed < lockKeptMs;
  }

  edgesOf(owners: readonly Owner[]): readonly WaitEdge[] {
    return owners.flatMap(({ id }) => this.edges.get(id) ?? []);
  }

  /** Locks that are held, by key in hex. */
  get held(): string[] {
    return [...this.locks].filter(([, { holders }]) => holders.size > 0).map(([key]) => key);
  }

  private inFront(state: LockState, place: LockState['queue'][number]): Owner[] {
    const front: Owner[] = [];
    for (const { owner, exclusive } of state.holders.values())
      if (owner.id !== place.owner.id && (exclusive || place.exclusive)) front.push(owner);
    // Whoever holds a share goes before those that wait for all shares to end.
    if (state.holders.has(place.owner.id)) return front;
    for (const waiting of state.queue) {
      if (waiting === place) break;
      if (waiting.exclusive || place.exclusive) front.push(waiting.owner);
    }
    return front;
  }

  private state(key: Uint8Array, nowMs: number): LockState {
    const name = toHex(key);
    let state = this.locks.get(name);
    if (state === undefined) {
      state = { holders: new Map(), queue: [] };
      this.locks.set(name, state);
    }
    for (const id of state.holders.keys()) if (!this.isAlive(id, nowMs)) state.holders.delete(id);
    for (let i = state.queue.length - 1; i >= 0; i--)
      if (nowMs - (state.queue[i]?.askedAtMs ?? 0) > placeKeptMs) state.queue.splice(i, 1);
    return state;
  }
}
