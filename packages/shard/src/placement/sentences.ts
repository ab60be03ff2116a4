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

/** One sentence per reason. */
export function stuckTexts(
  stuck: readonly { readonly rangeId: RangeId; readonly reason: string }[],
): string[] {
  const byReason = new Map<string, RangeId[]>();
  for (const { rangeId, reason } of stuck)
    byReason.set(reason, [...(byReason.get(reason) ?? []), rangeId]);
  return [...byReason].map(([reason, ranges]) => {
    const named = ranges.slice(0, namedMax).map((rangeId) => `r${rangeId}`);
    const more = ranges.length - named.length;
    return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}: nothing can be done: ${reason}.`;
  });
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
