/**
 * Events on their way from the store that knows of them to the first range's leaseholder, which writes them down: told with the
 * figures of ranges, to all stores of the first range, and a few times, so that none is lost with one message or one
 * leaseholder. Whoever writes them knows those that are written already. Bounded; the oldest are let go.
 */
import type { Clock } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';

export interface EventFacts {
  readonly kind: string;
  readonly text: string;
  readonly rangeId?: number;
  readonly storeId?: number;
}

export interface DatedEvent extends EventFacts {
  /** Since 1970. */
  readonly atMs: number;
}

type Told = flotilla.kv.PlacementEvent.$Properties;

/** How often each is told. */
const tellings = 3;
/** Of this store's own, and of all stores'. */
const ownMax = 200;
const receivedMax = 2000;
/** A store that does not lead the first range keeps what it hears for so long, for the case that it comes to. Unit: ms. */
const keptMs = 60_000;
const textMax = 1000;

export class EventPost {
  private readonly clock: Clock;
  private own: { readonly event: DatedEvent; left: number }[] = [];
  private received: { readonly event: DatedEvent; readonly heardAtMs: number }[] = [];

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** This store knows of it. */
  say(event: EventFacts & { readonly atMs?: number }): void {
    if (this.own.length >= ownMax) this.own.shift();
    this.own.push({ event: { atMs: this.clock.wallMs(), ...event }, left: tellings });
  }

  /** What is to be told this time. */
  toTell(): DatedEvent[] {
    const told = this.own.map(({ event }) => event);
    for (const one of this.own) one.left--;
    this.own = this.own.filter(({ left }) => left > 0);
    return told;
  }

  /** Another store says so, or this one. What is none is passed over. */
  take(events: readonly Told[]): void {
    const heardAtMs = this.clock.nowMs();
    for (const { atMs, kind, text, rangeId, storeId } of events) {
      if (typeof atMs !== 'number' || !Number.isSafeInteger(atMs) || atMs < 0) continue;
      if (!kind || kind.length > 32 || !text || text.length > textMax) continue;
      const event = { atMs, kind, text, rangeId: rangeId ?? 0, storeId: storeId ?? 0 };
      this.received.push({ event, heardAtMs });
    }
    this.received = this.received
      .filter((one) => heardAtMs - one.heardAtMs <= keptMs)
      .slice(-receivedMax);
  }

  /** For whoever writes them down. */
  takeReceived(): DatedEvent[] {
    const events = this.received.map(({ event }) => event);
    this.received = [];
    return events;
  }
}
