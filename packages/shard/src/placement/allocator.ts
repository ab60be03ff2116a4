/**
 * Places replicas and leases, on the store that leads the first range and nowhere else: looks at the cluster's rows every
 * second, decides (`decide.ts`), has it carried out (`executor.ts`) and says what it did (`event-log.ts`). Holds nothing
 * that its successor could not find out: whoever leads the first range next begins from the rows.
 */
import {
  type Clock,
  type HybridLogicalClock,
  type Logger,
  type RangeId,
  type Timer,
  timestampToWallMs,
} from '@flotilla/base';
import type { Engine } from '../engine/engine.ts';
import type { RangeConfigurations } from '../protocol/range-configuration.ts';
import type { Replica } from '../replica/replica.ts';
import { decideInSlices } from './decide.ts';
import { EventLog } from './event-log.ts';
import type { EventPost } from './event-post.ts';
import { Executor } from './executor.ts';
import { type Gathered, gather } from './gather.ts';
import { IndexCache } from './index-cache.ts';
import {
  type PlacementAction,
  type PlacementPaces,
  type RangePicture,
  sameStore,
} from './picture.ts';
import type { RangeFigures } from './range-figures.ts';
import {
  actionEvents,
  failureEvents,
  type RangeFailure,
  StoreNews,
  stuckTexts,
  wishTexts,
} from './sentences.ts';
import { isForgotten, type Rest, restAfter, Setbacks } from './setbacks.ts';
import { Sightings } from './sightings.ts';
import { forEachInTurns, runInTurns } from './slices.ts';
import type { StoreClient } from './store-client.ts';

export interface AllocatorOptions {
  readonly clock: Clock;
  readonly hlc: HybridLogicalClock;
  readonly logger: Logger;
  readonly engine: Engine;
  readonly client: StoreClient;
  readonly figures: RangeFigures;
  /** The replica of the first range here, if there is one. */
  readonly first: () => Replica | undefined;
  /** What all stores tell; and what this one has not written when it leads no more. */
  readonly post: EventPost;
  readonly replicationFactor: number;
  readonly paces: PlacementPaces;
  /** How often stores report that do not say how often. */
  readonly reportEveryMs: number;
  readonly deadAfterMs: number;
  readonly onFatal: (error: unknown) => void;
}

/** Unit: ms. Between two rounds: usually, and while something is being done. */
const calmRoundMs = 1000;
const activeRoundMs = 250;
/** Between two looks at the rows of all ranges, while nothing is to be done and no store has changed. */
const calmIndexMs = 4000;
/**
 * A round of thousands of ranges takes its time: no more than a tenth of it is spent on rounds. Waiting for a part of the
 * index whose leaseholder has just died costs nobody anything, and is when the next round is needed most.
 */
const restPerWork = 9;
/** A range whose row does not show what was done to it, after this long, is decided about again. */
const settleMs = 5000;

/**
 * Who leads the first range again so soon goes on with what it has seen: a hand-over of that range to a store that is dead, and
 * not known to be, comes to nothing but a new term, and would be tried for ever by one who had to find out anew. After a longer
 * while nobody may have been able to write a row, and silence says nothing.
 */
const sameEyesMs = 5000;

interface UnderWay {
  readonly action: PlacementAction;
  /** Undefined: not yet. */
  endedAtMs: number | undefined;
}

export class Allocator {
  private readonly options: AllocatorOptions;
  private readonly executor: Executor;
  private readonly events: EventLog;
  private timer: Timer | undefined;
  private stopped = false;
  /** Of the first range, in which this store leads it. 0: it does not. */
  private term = 0;
  private sightings: Sightings;
  private news = new StoreNews();
  private underWay = new Map<RangeId, UnderWay>();
  private setbacks = new Setbacks();
  /** After a transfer. */
  private leaseRests = new Map<RangeId, Rest>();
  /** Who led each range when it was looked at last. */
  private leaders = new Map<RangeId, number>();
  private lastStuck = '';
  /** Of actions that were told with others. */
  private failures: RangeFailure[] = [];
  private cache = new IndexCache();
  /** Nothing was to be done about this picture, with nothing under way and nothing at rest. */
  private calm: Gathered | undefined;
  private calmSinceMs = 0;
  /** In this round, for other stores. */
  private waitedMs = 0;
  /** At the rows of stores. */
  private lookedAtMs = Number.NEGATIVE_INFINITY;
  /** As it was seen last. */
  private wishes: RangeConfigurations | undefined;

  constructor(options: AllocatorOptions) {
    this.options = options;
    this.sightings = new Sightings(options);
    this.executor = new Executor(options.client, options.clock);
    this.events = new EventLog(options.engine, () => options.clock.wallMs());
  }

  start(): void {
    this.schedule(calmRoundMs);
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  private schedule(delayMs: number): void {
    if (this.stopped) return;
    const { clock, onFatal } = this.options;
    this.timer = clock.setTimer(delayMs, () => {
      const startedAt = clock.nowMs();
      this.waitedMs = 0;
      this.round().then(
        (active) => {
          const work = clock.nowMs() - startedAt - this.waitedMs;
          this.schedule(Math.max(active ? activeRoundMs : calmRoundMs, work * restPerWork));
        },
        (error: unknown) => {
          if (!this.stopped) onFatal(error);
        },
      );
    });
  }

  /** @returns true if something is being done */
  private async round(): Promise<boolean> {
    const first = this.options.first();
    const { leaseholder } = first ?? {};
    if (first === undefined || leaseholder?.isReady !== true) {
      this.term = 0;
      for (const event of this.events.forget()) this.options.post.say(event);
      return false;
    }
    if (leaseholder.term !== this.term) await this.begin(leaseholder.term, first);
    if (!this.leads(first)) return false;
    const nowMs = this.options.clock.nowMs();
    const times = { nowMs, wallMs: this.wallMs(), sightings: this.sightings };
    const known = nowMs - this.calmSinceMs < calmIndexMs ? this.calm : undefined;
    const waited = (ms: number): void => {
      this.waitedMs += ms;
    };
    const options = { ...this.options, cache: this.cache, waited };
    const gathered = await gather(options, first, times, known);
    if (gathered === undefined || !this.leads(first)) return false;
    this.lookedAtMs = nowMs;
    if (gathered !== known) this.calmSinceMs = nowMs;
    for (const event of this.news.of(gathered.stores)) this.events.say(event);
    this.sayWishes(gathered);
    for (const event of this.options.post.takeReceived()) this.events.say(event);
    for (const event of failureEvents(this.failures)) this.events.say(event);
    this.failures = [];
    await this.settle(gathered.ranges);
    await this.act(gathered, first);
    await this.events.flush(first);
    return this.underWay.size > 0;
  }

  private leads(first: Replica): boolean {
    return !this.stopped && first.leaseholder?.term === this.term;
  }

  private async begin(term: number, first: Replica): Promise<void> {
    this.term = term;
    if (this.options.clock.nowMs() - this.lookedAtMs > sameEyesMs) {
      this.sightings = new Sightings(this.options);
      this.setbacks = new Setbacks();
      this.leaseRests = new Map();
    }
    this.news = new StoreNews();
    this.underWay = new Map();
    this.leaders = new Map();
    this.lastStuck = '';
    this.failures = [];
    this.cache = new IndexCache();
    this.calm = undefined;
    this.wishes = undefined;
    // What it had not written in an earlier term it writes now.
    for (const event of this.events.forget()) this.events.say(event);
    for await (const { event } of this.events.newest(first)) this.news.recall(event);
  }

  private sayWishes({ configurations }: Gathered): void {
    const { wishes } = this;
    this.wishes = configurations;
    if (wishes === undefined || wishes === configurations) return;
    for (const text of wishTexts(wishes.all, configurations.all))
      this.events.say({ kind: 'configuration', text });
  }

  /** The clock that timestamps follow. */
  private wallMs(): number {
    const { clock, hlc } = this.options;
    return Math.max(clock.wallMs(), timestampToWallMs(hlc.peek()));
  }

  /** Forgets what was done and shows in the rows. */
  private async settle(ranges: readonly RangePicture[]): Promise<void> {
    const { clock } = this.options;
    const now = clock.nowMs();
    await forEachInTurns(clock, ranges, (range) => {
      const { rangeId, generation } = range.descriptor;
      const { action, endedAtMs } = this.underWay.get(rangeId) ?? {};
      const { leaseholder = 0 } = range;
      const ledBefore = this.leaders.get(rangeId) ?? leaseholder;
      this.leaders.set(rangeId, leaseholder);
      // Somebody may have asked for it to be led there.
      if (ledBefore !== leaseholder && action === undefined) this.restLease(rangeId);
      if (action === undefined || endedAtMs === undefined) return;
      const shows =
        action.kind === 'change' ? generation > action.generation : range.leaseholder === action.to;
      if (!shows && now - endedAtMs <= settleMs) return;
      this.underWay.delete(rangeId);
      // It began to hand over, and whoever was to lead was not elected.
      if (shows || action.kind === 'change') return;
      this.setbacks.note(action, now);
      const text = `the index does not show in time that s${action.to} leads`;
      this.failures.push({ kind: action.rule, rangeId, text });
    });
  }

  private async act(gathered: Gathered, first: Replica): Promise<void> {
    const { stores, ranges } = gathered;
    const { replicationFactor, paces, clock } = this.options;
    const { setbacks, atRest, forgot } = this.setbacks.at(clock.nowMs(), (rangeId) =>
      this.underWay.has(rangeId),
    );
    // Stores that failed are as good as others again.
    if (forgot) this.calm = undefined;
    const leasesAtRest = this.leasesAtRest();
    const isUsual = this.underWay.size + atRest + leasesAtRest.size === 0;
    if (isUsual && this.calm !== undefined && samePicture(gathered, this.calm)) return;
    const deciding = decideInSlices({
      stores,
      ranges,
      replicationFactor,
      paces,
      underWay: [...this.underWay.values()].map(({ action }) => action),
      setbacks,
      leasesAtRest,
    });
    const { actions, stuck } = await runInTurns(clock, deciding);
    if (!this.leads(first)) return;
    this.calm = isUsual && actions.length === 0 ? gathered : undefined;
    const texts = stuckTexts(stuck);
    if (texts.join() !== this.lastStuck)
      for (const text of texts) this.events.say({ kind: 'stuck', text });
    this.lastStuck = texts.join();
    if (actions.length === 0) return;
    const events = actionEvents(actions);
    const alone = new Set(events.map(({ rangeId }) => rangeId));
    for (const event of events) this.events.say(event);
    const byId = new Map(actions.map((action) => [action.rangeId, action]));
    for (const range of ranges) {
      const action = byId.get(range.descriptor.rangeId);
      if (action !== undefined) this.carryOut(action, range, first, alone.has(action.rangeId));
    }
  }

  /** @param isTold its end too is an event of its own */
  private carryOut(
    action: PlacementAction,
    range: RangePicture,
    first: Replica,
    isTold: boolean,
  ): void {
    const { logger, clock, onFatal } = this.options;
    const { rangeId, rule } = action;
    const { term } = this;
    const entry: UnderWay = { action, endedAtMs: undefined };
    this.underWay.set(rangeId, entry);
    if (action.kind === 'transfer') this.restLease(rangeId);
    const startedAt = clock.nowMs();
    const isVoid = (): boolean => first.leaseholder?.term !== term;
    this.executor.run(action, range, isVoid).then(({ ok, text }) => {
      const seconds = ((clock.nowMs() - startedAt) / 1000).toFixed(1);
      logger.info({ action, ok, text, seconds }, 'placement_action_ended');
      if (this.term !== term) return;
      entry.endedAtMs = clock.nowMs();
      if (ok && action.kind === 'change') {
        this.setbacks.clear(action);
        const said = `r${rangeId}: done in ${seconds} s: ${text}.`;
        if (isTold) this.events.say({ kind: rule, rangeId, text: said });
      }
      if (ok) return;
      this.underWay.delete(rangeId);
      this.setbacks.note(action, clock.nowMs());
      if (!isTold) {
        this.failures.push({ kind: rule, rangeId, text });
        return;
      }
      const said = `r${rangeId}: nothing came of it after ${seconds} s: ${text}.`;
      this.events.say({ kind: rule, rangeId, text: said });
    }, onFatal);
  }

  private restLease(rangeId: RangeId): void {
    const rest = restAfter(this.leaseRests.get(rangeId), this.options.clock.nowMs());
    this.leaseRests.set(rangeId, rest);
  }

  private leasesAtRest(): Set<RangeId> {
    const now = this.options.clock.nowMs();
    const resting = new Set<RangeId>();
    for (const [rangeId, rest] of this.leaseRests)
      if (now < rest.untilMs) resting.add(rangeId);
      else if (isForgotten(rest, now)) this.leaseRests.delete(rangeId);
    return resting;
  }
}

/** Ranges that have not changed are the same objects (`index-cache.ts`). */
function samePicture(one: Gathered, other: Gathered): boolean {
  return (
    one.stores.length === other.stores.length &&
    one.ranges.length === other.ranges.length &&
    one.ranges.every((range, i) => range === other.ranges[i]) &&
    one.stores.every((store, i) => sameStore(store, other.stores[i]))
  );
}
