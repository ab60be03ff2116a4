/**
 * What placement did and saw, as sentences for people, in the first range's own keys: the last thousand. Written by the
 * allocator at the first range's leaseholder. Best effort: what a leaseholder had not replicated when it fell is lost.
 */
import type { Engine } from '../engine/engine.ts';
import type { Replica } from '../replica/replica.ts';
import { userKeyOf } from '../state/storage-keys.ts';
import { encodeEvent, eventKey, eventNumber, eventSpan, eventsMax } from './cluster-rows.ts';

export interface EventFacts {
  readonly kind: string;
  readonly text: string;
  readonly rangeId?: number;
  readonly storeId?: number;
}

/** Waiting to be written; beyond it the oldest are let go. */
const waitingMax = 200;

export class EventLog {
  private readonly engine: Engine;
  private readonly wallMs: () => number;
  private waiting: (EventFacts & { readonly atMs: number })[] = [];
  /** Of the next event; 0: not known. */
  private next = 0;

  constructor(engine: Engine, wallMs: () => number) {
    this.engine = engine;
    this.wallMs = wallMs;
  }

  say(event: EventFacts): void {
    if (this.waiting.length >= waitingMax) this.waiting.shift();
    this.waiting.push({ ...event, atMs: this.wallMs() });
  }

  /** Another leaseholder may have written meanwhile. */
  forget(): void {
    this.next = 0;
    this.waiting = [];
  }

  /** Writes what waits. What the leaseholder does not take now stays. */
  async flush(first: Replica): Promise<void> {
    if (this.waiting.length === 0) return;
    if (this.next === 0) this.next = (await this.lastNumber(first)) + 1;
    while (this.waiting.length > 0 && first.leaseholder !== undefined) {
      const [event] = this.waiting;
      if (event === undefined) return;
      const { atMs, kind, text, rangeId = 0, storeId = 0 } = event;
      const value = encodeEvent({ atMs, kind, text, rangeId, storeId });
      const mutations = [{ key: eventKey(this.next), value, isDelete: false }];
      const leaving = this.next - eventsMax;
      if (leaving > 0)
        mutations.push({ key: eventKey(leaving), value: new Uint8Array(0), isDelete: true });
      if (!first.leaseholder.internalWrite({ mutations })) return;
      this.next++;
      this.waiting.shift();
    }
  }

  private async lastNumber(first: Replica): Promise<number> {
    const span = first.space.dataSpan(eventSpan.startKey, eventSpan.endKey);
    const iterator = this.engine.iterate(span, { reverse: true });
    try {
      const [row] = await iterator.next(1);
      return row === undefined ? 0 : eventNumber(userKeyOf(row.key));
    } finally {
      await iterator.close();
    }
  }
}
