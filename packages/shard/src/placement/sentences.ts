/** What placement says to people. Pure. */
import type { RangeId } from '@flotilla/base';
import { spanText } from '@flotilla/base';
import type { RangeConfiguration } from '../protocol/range-configuration.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import type { EventFacts } from './event-post.ts';
import type { GatheredStore } from './gather.ts';
import type { PlacementAction } from './picture.ts';

/** Ranges named in one sentence. */
const namedMax = 5;

export function actionText(action: PlacementAction): string {
  const { rangeId, reason } = action;
  if (action.kind === 'transfer')
    return `r${rangeId}: s${action.to} is to lead it instead of s${action.from}, because ${reason}.`;
  const { add, remove } = action;
  const names = (storeIds: readonly number[]): string =>
    storeIds.map((storeId) => `s${storeId}`).join(' and ');
  const what =
    add.length === 0
      ? `its replica on ${names(remove)} goes`
      : remove.length === 0
        ? `${names(add)} gets a replica`
        : `its replica moves from ${names(remove)} to ${names(add)}`;
  return `r${rangeId}: ${what}, because ${reason}.`;
}

/** Actions of one rule in one round are told one by one up to here, and beyond as one: the log of events is short. */
const toldOneByOne = 8;

/**
 * What is about to be done.
 * @returns an event each for few of a kind, and one for many
 */
export function actionEvents(actions: readonly PlacementAction[]): EventFacts[] {
  const events: EventFacts[] = [];
  for (const [kind, some] of grouped(actions, ({ rule }) => rule)) {
    const [first, ...others] = some;
    if (first === undefined) continue;
    if (some.length <= toldOneByOne)
      for (const action of some)
        events.push({ kind, rangeId: action.rangeId, text: actionText(action) });
    else {
      const like = named(others.map(({ rangeId }) => rangeId));
      const text = `${actionText(first)} The like is done to ${others.length} others: ${like}.`;
      events.push({ kind, text });
    }
  }
  return events;
}

export interface RangeFailure {
  readonly kind: string;
  readonly rangeId: RangeId;
  readonly text: string;
}

/** What came to nothing and was one of many: one sentence per cause. */
export function failureEvents(failures: readonly RangeFailure[]): EventFacts[] {
  return [...grouped(failures, ({ kind, text }) => `${kind} ${text}`).values()].map((some) => {
    const { kind = '', text = '' } = some[0] ?? {};
    const ranges = some.map(({ rangeId }) => rangeId);
    return { kind, text: `${named(ranges)}: nothing came of it: ${text}.` };
  });
}

/** One sentence per reason. */
export function stuckTexts(
  stuck: readonly { readonly rangeId: RangeId; readonly reason: string }[],
): string[] {
  return [...grouped(stuck, ({ reason }) => reason)].map(([reason, some]) => {
    const ranges = some.map(({ rangeId }) => rangeId);
    return `${named(ranges)}: nothing can be done: ${reason}.`;
  });
}

function named(ranges: readonly RangeId[]): string {
  const names = ranges.slice(0, namedMax).map((rangeId) => `r${rangeId}`);
  const more = ranges.length - names.length;
  return `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function grouped<T>(all: readonly T[], keyOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const key = keyOf(one);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return groups;
}

/** A range was cut. */
export function splitEvent(
  left: RangeDescriptor,
  right: RangeDescriptor,
  because: string,
): EventFacts {
  const { rangeId } = left;
  const text = `r${rangeId}: cut, because ${because}: r${right.rangeId} is now ${spanText(right)}.`;
  return { kind: 'split', rangeId, text };
}

/** Spans of which something else is wanted than before. */
export function wishTexts(
  before: readonly RangeConfiguration[],
  now: readonly RangeConfiguration[],
): string[] {
  const textsOf = (all: readonly RangeConfiguration[]) =>
    new Map(all.map((one) => [spanText(one), wishText(one)]));
  const [was, is] = [textsOf(before), textsOf(now)];
  const changed = [...is].filter(([span, text]) => was.get(span) !== text);
  const gone = [...was.keys()].filter((span) => !is.has(span));
  return [
    ...changed.map(([span, text]) => `${span}: wanted are ${text}.`),
    ...gone.map((span) => `${span}: nothing of its own is wanted any more.`),
  ];
}

function wishText({ replicas, splitBytes, leasePreference }: RangeConfiguration): string {
  return [
    ...(replicas === undefined ? [] : [`${replicas} replicas`]),
    ...(splitBytes === undefined ? [] : [`no more than ${splitBytes} bytes`]),
    ...(leasePreference === undefined ? [] : [`leaseholders in zone ${leasePreference}`]),
  ].join(', ');
}

/** What was said last of a store. */
interface Said {
  dead?: boolean;
  draining?: boolean;
  decommissioning?: boolean;
}

/** What is said of a store, and what it says of it: the log is the only memory that outlives a leaseholder. */
const saying = {
  joined: 'has joined',
  dead: 'is held to be dead',
  back: 'is back',
  decommissioning: 'is to be decommissioned',
  staying: 'is to stay after all',
  draining: 'drains',
  undrained: 'may be given leases and replicas again',
} as const;

const saidBy: readonly (readonly [words: string, said: Said])[] = [
  [saying.dead, { dead: true }],
  [saying.back, { dead: false }],
  [saying.decommissioning, { decommissioning: true }],
  [saying.staying, { decommissioning: false }],
  [saying.draining, { draining: true }],
  [saying.undrained, { draining: false }],
];

/** Stores that came, went, or are wanted to: told once, when it is seen first. */
export class StoreNews {
  private known: Map<number, GatheredStore> | undefined;
  private readonly said = new Map<number, Said>();

  /** What others have said. @param event from the newest to the oldest */
  recall({ kind, storeId = 0, text }: EventFacts): void {
    if (kind !== 'store') return;
    const [, says] = saidBy.find(([words]) => text.endsWith(`${words}.`)) ?? [];
    // The newest is the one that counts.
    if (says !== undefined) this.said.set(storeId, { ...says, ...this.said.get(storeId) });
  }

  of(stores: readonly GatheredStore[]): EventFacts[] {
    const before =
      this.known ?? new Map(stores.map((store) => [store.storeId, this.asSaid(store)]));
    const keepsDead = ({ storeId, health }: GatheredStore): boolean =>
      health === 'suspect' && before.get(storeId)?.health === 'dead';
    // One that was held to be dead by somebody else and has not been heard since is still that.
    this.known = new Map(
      stores.map((store) => [
        store.storeId,
        keepsDead(store) ? { ...store, health: 'dead' as const } : store,
      ]),
    );
    return stores.flatMap((store) => {
      const { storeId } = store;
      return newsOf(store, before.get(storeId)).map((text) => ({
        kind: 'store',
        storeId,
        text: `s${storeId} ${text}.`,
      }));
    });
  }

  /** A store as the log left it. Whoever begins to look takes those that it knows nothing of for well, and long there. */
  private asSaid(store: GatheredStore): GatheredStore {
    const { dead = false, draining, decommissioning = false } = this.said.get(store.storeId) ?? {};
    return {
      ...store,
      health: dead ? 'dead' : 'live',
      decommissioning,
      // Who is decommissioned drains as well, and nobody said so.
      draining: draining ?? (decommissioning && store.draining),
    };
  }
}

function newsOf(now: GatheredStore, before: GatheredStore | undefined): string[] {
  if (before === undefined) return [`on machine ${now.machine} ${saying.joined}`];
  const texts: string[] = [];
  const { health, draining, decommissioning } = now;
  if (health === 'dead' && before.health !== 'dead') {
    const seconds = Math.round(now.silentMs / 1000);
    texts.push(`has been silent for ${seconds} s and ${saying.dead}`);
  }
  if (health === 'live' && before.health === 'dead') texts.push(saying.back);
  if (decommissioning !== before.decommissioning)
    texts.push(decommissioning ? saying.decommissioning : saying.staying);
  else if (draining !== before.draining) texts.push(draining ? saying.draining : saying.undrained);
  return texts;
}
