/** What placement says to people. Pure. */
import type { RangeId } from '@flotilla/base';
import type { EventFacts } from './event-log.ts';
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

/** Stores that came, went, or are wanted to: told once, when it is seen first. */
export class StoreNews {
  private known: Map<number, GatheredStore> | undefined;

  of(stores: readonly GatheredStore[]): EventFacts[] {
    const before = this.known;
    this.known = new Map(stores.map((store) => [store.storeId, store]));
    // Whoever begins to look does not know what is new.
    if (before === undefined) return [];
    return stores.flatMap((store) => {
      const { storeId } = store;
      return newsOf(store, before.get(storeId)).map((text) => ({
        kind: 'store',
        storeId,
        text: `s${storeId} ${text}.`,
      }));
    });
  }
}

function newsOf(now: GatheredStore, before: GatheredStore | undefined): string[] {
  if (before === undefined) return [`on machine ${now.machine} has joined`];
  const texts: string[] = [];
  const { health, draining, decommissioning } = now;
  if (health === 'dead' && before.health !== 'dead') {
    const seconds = Math.round(now.silentMs / 1000);
    texts.push(`has been silent for ${seconds} s and is held to be dead`);
  }
  if (health === 'live' && before.health === 'dead') texts.push('is back');
  if (decommissioning !== before.decommissioning)
    texts.push(decommissioning ? 'is to be decommissioned' : 'is to stay after all');
  else if (draining !== before.draining)
    texts.push(draining ? 'drains' : 'may be given leases and replicas again');
  return texts;
}
