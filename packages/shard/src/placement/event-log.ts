/**
 * What placement did and what stores saw, as sentences for people, in the first range's own keys: the last ten thousand.
 * Written by the allocator at the first range's leaseholder, in every round. What it has not written when it loses the lease it
 * tells its successor (`event-post.ts`). Lost is what one that dies had heard of nobody else and not replicated: what was
 * decided in its last second.
 */
import type { Engine } from '../engine/engine.ts';
import type { Replica } from '../replica/replica.ts';
import { userKeyOf } from '../state/storage-keys.ts';
import { checkStored, storedPayload } from '../state/stored-value.ts';
import {
  decodeEvent,
  encodeEvent,
  eventKey,
  eventNumber,
  eventSpan,
  eventsMax,
} from './cluster-rows.ts';
import type { DatedEvent, EventFacts } from './event-post.ts';

/** Waiting to be written; beyond it the oldest are let go. */
const waitingMax = 2000;
/** Written by one round: no more than the first range's leaseholder has time for. */
const writtenMax = 500;
/** That are known to be written: somebody may tell them again. */
const knownMax = 4000;
const rowsPerRead = 256;

export class EventLog {
  private readonly engine: Engine;
  private readonly wallMs: () => number;
  private waiting: DatedEvent[] = [];
  /** Of the next event; 0: not known. */
  private next = 0;
  private known = new Set<string>();

  constructor(engine: Engine, wallMs: () => number) {
    this.engine = engine;
    this.wallMs = wallMs;
  }

  /** Once, however often it is told. */
  say(event: EventFacts & { readonly atMs?: number }): void {
    if (this.waiting.length >= waitingMax) this.waiting.shift();
    this.waiting.push({ atMs: this.wallMs(), ...event });
  }

  /** Another leaseholder may have written meanwhile. @returns what is not written, for whoever is to write it */
  forget(): DatedEvent[] {
    const { waiting } = this;
    this.next = 0;
    this.waiting = [];
    this.known = new Set();
    return waiting;
  }

  /** The newest first. */
  async *newest(
    first: Replica,
  ): AsyncIterable<{ readonly number: number; readonly event: EventFacts }> {
    const span = first.space.dataSpan(eventSpan.startKey, eventSpan.endKey);
    const iterator = this.engine.iterate(span, { reverse: true });
    try {
      for (;;) {
        const rows = await iterator.next(rowsPerRead);
        if (rows.length === 0) return;
        for (const { key, value } of rows) {
          const userKey = userKeyOf(key);
          const event = decodeEvent(storedPayload(checkStored(userKey, value)));
          if (event !== undefined) yield { number: eventNumber(userKey), event };
        }
      }
    } finally {
      await iterator.close();
    }
  }

  /** Writes what waits. What the leaseholder does not take now stays. */
  async flush(first: Replica): Promise<void> {
    if (this.waiting.length === 0) return;
    if (this.next === 0) await this.begin(first);
    for (let written = 0; written < writtenMax && first.leaseholder !== undefined; ) {
      const [event] = this.waiting;
      if (event === undefined) return;
      if (this.known.has(nameOf(event))) {
        this.waiting.shift();
        continue;
      }
      const { atMs, kind, text, rangeId = 0, storeId = 0 } = event;
      const value = encodeEvent({ atMs, kind, text, rangeId, storeId });
      const mutations = [{ key: eventKey(this.next), value, isDelete: false }];
      const leaving = this.next - eventsMax;
      if (leaving > 0)
        mutations.push({ key: eventKey(leaving), value: new Uint8Array(0), isDelete: true });
      if (!first.leaseholder.internalWrite({ mutations })) return;
      this.next++;
      this.waiting.shift();
      this.remember(event);
      written++;
    }
  }

  private async begin(first: Replica): Promise<void> {
    let next = 1;
    const written: EventFacts[] = [];
    for await (const { number, event } of this.newest(first)) {
      next = Math.max(next, number + 1);
      written.push(event);
      if (written.length >= knownMax / 2) break;
    }
    for (const event of written.reverse()) this.remember(event);
    this.next = next;
  }

  private remember(event: EventFacts & { readonly atMs?: number }): void {
    this.known.add(nameOf(event));
    if (this.known.size <= knownMax) return;
    for (const oldest of this.known) {
      this.known.delete(oldest);
      return;
    }
  }
}

function nameOf({ atMs, text }: EventFacts & { readonly atMs?: number }): string {
  return `${atMs} ${text}`;
}
